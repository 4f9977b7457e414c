{# Stops the build where more than `max_share` of the rows were rejected: then the file is wrong, not a row.
   It fails with a sentence instead of rows, since that is what a task's log and the demo show. #}
{% test rejected_share_within_limit(model, max_share=none) %}

{%- set limit = max_share if max_share is not none else var('max_rejected_share') %}
{%- set over_limit %}
select
    count(*) as row_count,
    count(reject_reason) as rejected_count,
    min(reject_reason) as example
from {{ model }}
having count(reject_reason) > {{ limit }} * count(*)
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- for row in run_query(over_limit).rows %}
        {%- do exceptions.raise_compiler_error(
            row[1] ~ ' of ' ~ row[0] ~ ' rows of ' ~ model ~ ' are rejected, more than max_rejected_share = ' ~ limit
            ~ ' allows; for example ' ~ row[2] ~ '. Its column reject_reason names all.') %}
    {%- endfor %}
{%- endif %}

{{ over_limit }}

{% endtest %}
