-- Line by line, exactly: the discount is the line's rate on gross, and only a used coupon gives one; net = gross -
-- discount; GST is the line's rate on net; total = net + GST + delivery.
select
    sales_line_id,
    gross_sales_amount,
    discount_amount,
    net_sales_amount,
    gst_amount,
    delivery_amount,
    total_amount
from {{ ref('fct_sales') }}
where
    net_sales_amount != gross_sales_amount - discount_amount
    or total_amount != net_sales_amount + gst_amount + delivery_amount
    or discount_amount != {{ money('gross_sales_amount * discount_rate') }}
    or gst_amount != {{ money('net_sales_amount * gst_rate') }}
    or (coupon_status != 'Used' and (discount_rate != 0 or coupon_code is not null))
