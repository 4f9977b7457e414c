{# A time from ISO text with its zone, or the first moment of a day in UTC; YAML on the command line makes dates of days. #}
{% macro utc_timestamp(moment) -%}
    {%- set text = moment | string -%}
    cast('{{ text }}{{ ' 00:00:00+00:00' if text | length == 10 }}' as timestamp with time zone)
{%- endmacro %}
