{# The current time, with its time zone. #}
{% macro get_current_timestamp() -%}
    cast({{ dbt.current_timestamp() }} as timestamp with time zone)
{%- endmacro %}
