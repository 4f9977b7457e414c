{# Stops the build where more of the rows, or of their `value_column`, were rejected than the var `limit_var` allows:
   then the file is broken, not a row. Rows that only repeat others do not count.
   It fails with a sentence instead of rows, since that is what a task's log and the demo show. #}
{% test rejected_share_within_limit(model, limit_var='max_rejected_share', value_column=none) %}

{%- set limit = number_var(limit_var) %}
{%- set value = 'coalesce(' ~ value_column ~ ', 0)' if value_column else '0' %}
{%- set over_limit %}
select
    count(*) as row_count,
    count(reject_reason) as rejected_count,
    sum({{ value }}) as row_value,
    sum(case when reject_reason is not null then {{ value }} else 0 end) as rejected_value,
    min(reject_reason) as example
from {{ model }}
where not is_repeated
having
    count(reject_reason) > {{ limit }} * count(*)
    or sum(case when reject_reason is not null then {{ value }} else 0 end) > {{ limit }} * sum({{ value }})
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- for rows, rejected, total, at_risk, example in run_query(over_limit).rows %}
        {%- do exceptions.raise_compiler_error(
            rejected ~ ' of ' ~ rows ~ ' rows of ' ~ model ~ ' are rejected, more than ' ~ limit_var ~ ' = '
            ~ limit ~ ' allows; for example ' ~ example
            ~ ('. They are worth ' ~ at_risk ~ ' of ' ~ total ~ ' gross' if value_column else '')
            ~ '. Its column reject_reason names all.') %}
    {%- endfor %}
{%- endif %}

{{ over_limit }}

{% endtest %}
