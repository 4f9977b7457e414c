{# A number of digits with one dot at most: no exponent, underscore, thousands separator or currency. Null outside of
   minimum … maximum (both included), so that no cast and no product of it can overflow. #}
{% macro parse_decimal(column, maximum, minimum=0, scale=4) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    case
        when
            {{ matches_pattern(text, "'^[+-]?([0-9]+([.][0-9]+)?|[.][0-9]+)$'") }}
            and {{ dbt.safe_cast(text, 'decimal(38, ' ~ scale ~ ')') }} between {{ minimum }} and {{ maximum }}
            then {{ dbt.safe_cast(text, 'decimal(18, ' ~ scale ~ ')') }}
    end
{%- endmacro %}
