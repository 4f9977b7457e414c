{# A whole number from text: 12 and 12.0; null for 12.5, which a cast to an integer would round. #}
{% macro parse_integer(column) -%}
    case
        when {{ parse_decimal(column) }} = round({{ parse_decimal(column) }}, 0)
            then cast({{ parse_decimal(column) }} as bigint)
    end
{%- endmacro %}
