{# The day that recency counts from: the var, else the newest day in the data. Never today: the data may be old. #}
{% macro as_of_date(newest_day) -%}
    coalesce(cast({{ "'" ~ var('as_of_date') ~ "'" if var('as_of_date') else 'null' }} as date), {{ newest_day }})
{%- endmacro %}
