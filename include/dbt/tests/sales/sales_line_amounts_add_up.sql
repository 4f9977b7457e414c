-- Line by line, exactly: net = gross - discount; GST is the category's rate on net; total = net + GST + delivery.
select
    sales.sales_line_id,
    sales.gross_sales_amount,
    sales.discount_amount,
    sales.net_sales_amount,
    sales.gst_amount,
    sales.delivery_amount,
    sales.total_amount
from {{ ref('fct_sales') }} as sales
inner join {{ ref('dim_products') }} as products on sales.product_sku = products.product_sku
where
    sales.net_sales_amount != sales.gross_sales_amount - sales.discount_amount
    or sales.total_amount != sales.net_sales_amount + sales.gst_amount + sales.delivery_amount
    or sales.gst_amount != round(sales.net_sales_amount * products.gst_rate, 2)
    or (sales.coupon_status != 'Used' and sales.discount_amount != 0)
