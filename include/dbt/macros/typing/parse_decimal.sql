{# A number of digits with one dot at most: no exponent, underscore, thousands separator or currency. Null outside of
   minimum … maximum (both included), so that no cast and no product of it can overflow. Ten decimals, since an average
   price may have them all, and 300 pieces at 0.33333333 cost 100.00. #}
{% macro parse_decimal(column, maximum, minimum=0) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    case
        when
            {{ matches_pattern(text, "'^[+-]?([0-9]+([.][0-9]+)?|[.][0-9]+)$'") }}
            and {{ dbt.safe_cast(text, 'decimal(38, 10)') }} between {{ minimum }} and {{ maximum }}
            then {{ dbt.safe_cast(text, 'decimal(28, 10)') }}
    end
{%- endmacro %}
