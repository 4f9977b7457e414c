{# Whether a part of the text matches a regular expression, given as an SQL literal without backslashes. #}
{% macro matches_pattern(text, pattern) -%}
    {{ return(adapter.dispatch('matches_pattern')(text, pattern)) }}
{%- endmacro %}

{% macro duckdb__matches_pattern(text, pattern) -%}
    regexp_matches({{ text }}, {{ pattern }})
{%- endmacro %}

{% macro snowflake__matches_pattern(text, pattern) -%}
    regexp_instr({{ text }}, {{ pattern }}) > 0
{%- endmacro %}
