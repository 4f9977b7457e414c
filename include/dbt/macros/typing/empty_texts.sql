{# What programs write into a text column for a value that is missing, in lower case. #}
{% macro empty_texts() -%}
    {{ return(['', 'n/a', 'na', '#n/a', '<na>', 'null', 'nil', 'none', 'nan', '-', '--', '?', '??']) }}
{%- endmacro %}
