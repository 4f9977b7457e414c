{# A text with each run of blanks, tabs, line breaks and no-break spaces as one blank. #}
{% macro squeeze_blanks(text) -%}
    {{ return(adapter.dispatch('squeeze_blanks')(text)) }}
{%- endmacro %}

{% macro duckdb__squeeze_blanks(text) -%}
    regexp_replace(replace({{ text }}, chr(160), ' '), '[[:space:]]+', ' ', 'g')
{%- endmacro %}

{% macro snowflake__squeeze_blanks(text) -%}
    regexp_replace(replace({{ text }}, chr(160), ' '), '[[:space:]]+', ' ')
{%- endmacro %}
