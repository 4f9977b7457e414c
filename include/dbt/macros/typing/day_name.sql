{# The English name of a day of the week, 1 (Monday) to 7. #}
{% macro day_name(day_of_week) -%}
    case {{ day_of_week }}
    {%- for name in ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] %}
        when {{ loop.index }} then '{{ name }}'
    {%- endfor %}
    end
{%- endmacro %}
