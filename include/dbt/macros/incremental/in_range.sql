{# Whether a day lies in the half-open range of the vars start_date and end_date, each of which may be open; of a time its
   day counts. #}
{% macro in_range(day) -%}
    (
        {{ day }} >= cast('{{ timestamp_var('start_date')[:10] or '0001-01-01' }}' as date)
        and {{ day }} < cast('{{ timestamp_var('end_date')[:10] or '9999-12-31' }}' as date)
    )
{%- endmacro %}
