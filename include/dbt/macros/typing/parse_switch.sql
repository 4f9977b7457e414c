{# True or false from yes/no, y/n, true/false and 1/0 in any case; an empty text is false, another one null. #}
{% macro parse_switch(column) -%}
    case
        when lower({{ trimmed(column) }}) in ('yes', 'y', 'true', '1') then true
        when lower({{ trimmed(column) }}) in ('no', 'n', 'false', '0') or {{ text_value(column) }} is null then false
    end
{%- endmacro %}
