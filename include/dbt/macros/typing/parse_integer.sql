{# A whole number: 12 and 12.0, not 12.5 (a cast to an integer would round it). #}
{% macro parse_integer(column) -%}
    case
        when {{ parse_decimal(column) }} = round({{ parse_decimal(column) }}, 0)
            then cast({{ parse_decimal(column) }} as bigint)
    end
{%- endmacro %}
