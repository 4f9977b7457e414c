{# Rows that are used although something about them is odd, as their column `warning` says. #}
{% test no_warnings(model) %}

{{ config(severity='warn') }}

{%- set odd_rows %}
select
    source_file,
    source_row,
    warning
from {{ model }}
where warning is not null
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- set rows = run_query(odd_rows ~ ' order by source_file, source_row').rows %}
    {%- for file, row, said in rows[:5] %}
        {%- do exceptions.warn(file ~ ', row ' ~ row ~ ': ' ~ said | trim | trim('.') ~ '.') %}
    {%- endfor %}
    {%- if rows | length > 5 %}
        {%- do exceptions.warn(rows | length ~ ' rows of ' ~ model ~ ' are as odd; its column warning names all.') %}
    {%- endif %}
{%- endif %}

{{ odd_rows }}

{% endtest %}
