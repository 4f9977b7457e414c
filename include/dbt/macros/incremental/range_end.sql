{% macro range_end() -%}
    {{ utc_timestamp(var('end_date') or '9999-12-31') }}
{%- endmacro %}
