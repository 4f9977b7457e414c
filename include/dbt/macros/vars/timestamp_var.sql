{# A var that holds a day, or a time in ISO 8601 with its zone; '' where it is empty. YAML on a command line makes
   a time of it, which then has a blank instead of the T. #}
{% macro timestamp_var(name) -%}
    {%- set time = '[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?' -%}
    {%- set zone = '(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])' -%}
    {{ return(checked_var(
        name,
        '(' ~ day_pattern() ~ '(' ~ time ~ zone ~ ')?)?',
        'empty, a day as YYYY-MM-DD or a time in ISO 8601 with its zone',
    )) }}
{%- endmacro %}
