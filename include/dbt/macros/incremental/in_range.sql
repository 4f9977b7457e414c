{# Whether a day lies in the half-open range of the vars start_date and end_date, each of which may be open. #}
{% macro in_range(day) -%}
    (
        {{ day }} >= cast('{{ var('start_date') or '0001-01-01' }}' as date)
        and {{ day }} < cast('{{ var('end_date') or '9999-12-31' }}' as date)
    )
{%- endmacro %}
