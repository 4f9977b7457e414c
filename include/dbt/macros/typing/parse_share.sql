{# A fraction from text as `10%` or `0.1`; null for a bare 10, which could mean either. #}
{% macro parse_share(column) -%}
    case
        when right(trim({{ column }}), 1) = '%'
            then cast({{ dbt.safe_cast("replace(" ~ column ~ ", '%', '')", 'decimal(9, 4)') }} * 0.01 as decimal(9, 6))
        when {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }} <= 1
            then {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }}
    end
{%- endmacro %}
