-- Each known customer with an order is in one decile and at one place, and has one first month.
-- depends_on: {{ ref('fct_new_vs_returning') }}
with

expected as (

    select count(distinct customer_id) as customer_count

    from {{ ref('fct_orders') }}

    where customer_id != {{ unknown_customer_id() }}

),

found as (

    select
        'fct_customer_concentration' as mart,
        coalesce(sum(customer_count), 0) as customer_count
    from {{ ref('fct_customer_concentration') }}
    union all
    select
        'fct_location_performance' as mart,
        coalesce(sum(customer_count), 0) as customer_count
    from {{ ref('fct_location_performance') }}
    {% if not has_range() -%}
    union all
    select
        'fct_new_vs_returning' as mart,
        coalesce(sum(first_day_customer_count), 0) as customer_count
    from {{ ref('fct_new_vs_returning') }}
    {%- endif %}
)

select
    found.mart,
    found.customer_count,
    expected.customer_count as expected_customer_count
from found
cross join expected
where found.customer_count != expected.customer_count
