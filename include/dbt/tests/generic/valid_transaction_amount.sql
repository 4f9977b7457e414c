{# Rows whose amount is missing or outside min_amount … max_amount, both included. #}
{% test valid_transaction_amount(model, column_name, min_amount=0, max_amount=15000) %}

select {{ column_name }}
from {{ model }}
where {{ column_name }} is null or {{ column_name }} not between {{ min_amount }} and {{ max_amount }}

{% endtest %}
