{# 1 to 12 from a month's English name or its first three letters, in any case, and from nothing else. #}
{% macro parse_month(column) -%}
    case lower(trim({{ column }}))
    {%- for name in month_names() %}
        when '{{ name | lower }}' then {{ loop.index }}
        {%- if name | length > 3 %}
        when '{{ name[:3] | lower }}' then {{ loop.index }}
        {%- endif %}
    {%- endfor %}
    end
{%- endmacro %}
