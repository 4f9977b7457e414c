with

segments as (

    select * from {{ ref('int_segment_scores') }}

),

customers as (

    select * from {{ ref('dim_customer') }}

),

features as (

    select * from {{ ref('int_customer_features') }}

)

select
    segments.customer_id,
    customers.location,
    customers.gender,
    customers.customer_tenure_months,
    segments.segment_id,
    segments.segment_name,
    features.frequency as total_orders,
    features.monetary as total_revenue,
    features.first_order_date as first_purchase_date,
    features.last_order_date as last_purchase_date,
    features.recency_days as days_since_last_purchase,
    features.average_order_value as avg_order_value,
    {{ activity_status('features.recency_days') }} as activity_status,
    features.purchase_days,
    features.lifecycle_stage,
    features.as_of_date,
    segments.model_version,
    {{ get_current_timestamp() }} as updated_at

from segments

inner join customers on segments.customer_id = customers.customer_id

inner join features on segments.customer_id = features.customer_id
