{# 1 to 12 from a month's English name or its first three letters, in any case. #}
{% macro parse_month(column) -%}
    case lower(left(trim({{ column }}), 3))
    {%- for name in month_names() %}
        when '{{ name[:3] | lower }}' then {{ loop.index }}
    {%- endfor %}
    end
{%- endmacro %}
