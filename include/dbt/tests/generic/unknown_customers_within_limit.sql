{# Warns of order lines whose customer is not known, and stops the build where they are more, by number or gross value,
   than max_unknown_customer_share allows: then the customers' file lacks customers. #}
{% test unknown_customers_within_limit(model) %}

{{ config(error_if='> 0 and max(is_over_limit) > 0') }}

{%- set unknown = 'customer_id = ' ~ unknown_customer_id() %}
{%- set limit = number_var('max_unknown_customer_share') %}
{%- set found %}
select
    count(case when {{ unknown }} then 1 end) as unknown_count,
    count(*) as line_count,
    sum(case when {{ unknown }} then gross_sales_amount else 0 end) as unknown_amount,
    sum(gross_sales_amount) as line_amount,
    min(case when {{ unknown }} then source_customer_id end) as example,
    case
        when
            count(case when {{ unknown }} then 1 end) > {{ limit }} * count(*)
            or sum(case when {{ unknown }} then gross_sales_amount else 0 end) > {{ limit }} * sum(gross_sales_amount)
            then 1
        else 0
    end as is_over_limit
from {{ model }}
where reject_reason is null
having count(case when {{ unknown }} then 1 end) > 0
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- for lines, all_lines, amount, all_amount, example, is_over_limit in run_query(found).rows %}
        {%- set said %}
{{- lines }} of {{ all_lines }} order lines (worth {{ amount }} of {{ all_amount }} gross) are of customers who are not among
            the customers, {{ 'as customerid ' ~ example if example is not none else 'since they name none' }}
        {%- endset %}
        {%- set said = said.split() | join(' ') %}
        {%- if is_over_limit %}
            {%- do exceptions.raise_compiler_error(
                said ~ ': more than max_unknown_customer_share = ' ~ limit ~ ' allows.') %}
        {%- endif %}
        {%- do exceptions.warn(said ~ ': they count for the unknown customer, ' ~ unknown_customer_id() ~ '.') %}
    {%- endfor %}
{%- endif %}

{{ found }}

{% endtest %}
