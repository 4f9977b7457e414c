{# A share as `10%` or `0.1`, as a fraction; a bare 10 could mean either and is null. #}
{% macro parse_share(column) -%}
    case
        when right(trim({{ column }}), 1) = '%'
            then cast({{ dbt.safe_cast("replace(" ~ column ~ ", '%', '')", 'decimal(9, 4)') }} * 0.01 as decimal(9, 6))
        when {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }} <= 1
            then {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }}
    end
{%- endmacro %}
