{# What programs write into a text column for a value that is missing, in lower case. #}
{% macro empty_texts() -%}
    {{ return([
        '', 'n/a', 'na', 'n.a.', '#n/a', '#ref!', '#value!', '#name?', '<na>', 'null', '(null)', '<null>', 'nil', 'none',
        '(none)', 'nan', 'nat', '(blank)', 'undefined', '.', '-', '--', '–', '—', '?', '??',
    ]) }}
{%- endmacro %}
