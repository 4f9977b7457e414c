{# A time from ISO 8601 text with its zone, or the start of a day in UTC. YAML on a command line makes dates of days. #}
{% macro utc_timestamp(moment) -%}
    {%- set text = moment | string -%}
    cast('{{ text }}{{ ' 00:00:00+00:00' if text | length == 10 }}' as timestamp with time zone)
{%- endmacro %}
