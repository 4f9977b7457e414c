{# The text of a var that has a form, given as a regular expression; else a compiler error that names both, and not the
   value: it may be SQL, and an error goes into logs and alerts. Every var that enters SQL comes through here. #}
{% macro checked_var(name, pattern, form) -%}
    {%- set value = var(name) -%}
    {%- set text = '' if value is none else value | string -%}
    {%- if modules.re.fullmatch(pattern, text) is none -%}
        {{ exceptions.raise_compiler_error('The var ' ~ name ~ ' must be ' ~ form ~ '.') }}
    {%- endif -%}
    {{ return(text) }}
{%- endmacro %}
