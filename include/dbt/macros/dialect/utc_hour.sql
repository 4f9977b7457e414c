{# Start of the hour in UTC that a time lies in, whatever the session's zone or the time's own. #}
{% macro utc_hour(moment) -%}
    {{ return(adapter.dispatch('utc_hour')(moment)) }}
{%- endmacro %}

{% macro duckdb__utc_hour(moment) -%}
    date_trunc('hour', {{ moment }} at time zone 'UTC') at time zone 'UTC'
{%- endmacro %}

{% macro snowflake__utc_hour(moment) -%}
    cast(date_trunc('hour', convert_timezone('UTC', {{ moment }})) as timestamp_tz)
{%- endmacro %}
