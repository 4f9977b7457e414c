{# Rows whose amount is missing or below min_amount, which is an error, or above max_amount, which is a warning: a large
   order is no mistake. #}
{% test valid_transaction_amount(model, column_name, min_amount=0, max_amount=number_var('max_transaction_amount')) %}

{{ config(error_if='> 0 and max(is_wrong) > 0') }}

select
    {{ column_name }},
    case when {{ column_name }} is null or {{ column_name }} < {{ min_amount }} then 1 else 0 end as is_wrong
from {{ model }}
where {{ column_name }} is null or {{ column_name }} not between {{ min_amount }} and {{ max_amount }}

{% endtest %}
