{# Whether the vars start_date and end_date name a range; --full-refresh builds everything whatever they say. #}
{% macro has_range() -%}
    {{ return(not flags.FULL_REFRESH and (timestamp_var('start_date') or timestamp_var('end_date')) != '') }}
{%- endmacro %}
