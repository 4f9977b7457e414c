{# The two ends of the range, from the vars; an empty one leaves that side open. #}
{% macro range_start() -%}
    {{ utc_timestamp(var('start_date') or '0001-01-01') }}
{%- endmacro %}
