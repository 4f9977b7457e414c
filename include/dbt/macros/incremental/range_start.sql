{# Start of the range from var start_date; the earliest possible time where it is empty. #}
{% macro range_start() -%}
    {{ utc_timestamp(timestamp_var('start_date') or '0001-01-01') }}
{%- endmacro %}
