{# The day that recency counts from: the var, else the newest day in the data. Never today: the data may be old. #}
{% macro as_of_date(newest_day) -%}
    {%- set day = date_var('as_of_date') -%}
    coalesce(cast({{ "'" ~ day ~ "'" if day else 'null' }} as date), {{ newest_day }})
{%- endmacro %}
