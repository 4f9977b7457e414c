-- Every customer's class follows from the months of tenure.
select
    customer_id,
    customer_tenure_months,
    customer_segment
from {{ ref('dim_customer') }}
where
    customer_segment != case
        when customer_tenure_months between 0 and 5 then 'New Customer'
        when customer_tenure_months between 6 and 12 then 'Developing Customer'
        when customer_tenure_months between 13 and 24 then 'Established Customer'
        when customer_tenure_months > 24 then 'Loyal Customer'
        when customer_id = {{ unknown_customer_id() }} then 'Unknown Customer'
        else 'no class'
    end
