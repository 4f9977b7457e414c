{# A date from text as M/D/YYYY, YYYYMMDD or ISO 8601 (a time of day is cut off); null where it is none. #}
{% macro parse_date(text) -%}
    {{ return(adapter.dispatch('parse_date')(text)) }}
{%- endmacro %}

{% macro duckdb__parse_date(text) -%}
    cast(try_strptime(left(trim({{ text }}), 10), ['%m/%d/%Y', '%Y-%m-%d', '%Y%m%d']) as date)
{%- endmacro %}

{% macro snowflake__parse_date(text) -%}
    coalesce(
        try_to_date(left(trim({{ text }}), 10), 'MM/DD/YYYY'),
        try_to_date(left(trim({{ text }}), 10), 'YYYY-MM-DD'),
        try_to_date(left(trim({{ text }}), 10), 'YYYYMMDD')
    )
{%- endmacro %}
