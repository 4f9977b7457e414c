{# Whether a date with slashes is one day as M/D/YYYY and another as D/M/YYYY. #}
{% macro reads_two_ways(column) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    (
        {{ matches_pattern(text, "'^(0?[1-9]|1[0-2])/(0?[1-9]|1[0-2])/[0-9]{4}'") }}
        and lpad(split_part({{ text }}, '/', 1), 2, '0') != lpad(split_part({{ text }}, '/', 2), 2, '0')
    )
{%- endmacro %}
