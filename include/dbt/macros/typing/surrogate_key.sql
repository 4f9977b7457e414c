{# Hash of the columns that together identify a row; the separator keeps ('1', '23') and ('12', '3') apart. #}
{% macro surrogate_key(columns) -%}
    md5({% for column in columns %}cast({{ column }} as varchar){{ " || '|' || " if not loop.last }}{% endfor %})
{%- endmacro %}
