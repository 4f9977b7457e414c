{# A whole number within a bigint: a sign, digits, `.0`. A plain cast takes 1E2 for 100, 2019_0001 for 20190001. Three
   zeros after the dot may be thousands: 1.000 is no number. #}
{% macro parse_integer(column) -%}
    {%- set digits = "split_part(trim(" ~ column ~ "), '.', 1)" -%}
    case
        when
            {{ matches_pattern('trim(' ~ column ~ ')', "'^[+-]?[0-9]+([.](0{1,2}|0{4,}))?$'") }}
            and {{ dbt.safe_cast(digits, 'decimal(38, 0)') }} between -9223372036854775808 and 9223372036854775807
            then {{ dbt.safe_cast(digits, 'bigint') }}
    end
{%- endmacro %}
