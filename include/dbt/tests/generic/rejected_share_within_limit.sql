{# One row, with the figures, where more than `max_share` of the rows were rejected: the file is broken, not a row. #}
{% test rejected_share_within_limit(model, max_share=none) %}

{%- set limit = max_share if max_share is not none else var('max_rejected_share') %}

select
    count(*) as row_count,
    count(reject_reason) as rejected_count,
    min(reject_reason) as example
from {{ model }}
having count(reject_reason) > {{ limit }} * count(*)

{% endtest %}
