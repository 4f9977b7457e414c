{# The sentence of a rejected row from its reject_rule, which begins with a column's name, that column's value as it
   stands in the file, and reject_detail, if any. `columns` are those that a rule may begin with. #}
{% macro reject_reason(columns) -%}
    {%- set name = "split_part(reject_rule, ' ', 1)" -%}
    {{ name }} || ' "' || coalesce(
        case {{ name }}
        {%- for column in columns %}
            when '{{ column }}' then {{ column }}
        {%- endfor %}
        end, ''
    ) || '"' || substr(reject_rule, length({{ name }}) + 1) || coalesce(': ' || reject_detail, '')
{%- endmacro %}
