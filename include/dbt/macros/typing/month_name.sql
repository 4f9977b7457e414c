{# The English name of a day's month, whatever the session's language. #}
{% macro month_name(day) -%}
    case cast(extract(month from {{ day }}) as integer)
    {%- for name in month_names() %}
        when {{ loop.index }} then '{{ name }}'
    {%- endfor %}
    end
{%- endmacro %}
