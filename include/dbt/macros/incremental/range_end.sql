{# End of the range, itself excluded, from var end_date; the latest possible time where it is empty. #}
{% macro range_end() -%}
    {{ utc_timestamp(timestamp_var('end_date') or '9999-12-31') }}
{%- endmacro %}
