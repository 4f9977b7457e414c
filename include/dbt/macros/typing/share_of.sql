{# A share of an amount, to the cent. DuckDB multiplies decimals of up to 18 digits within 18 digits, which overflows. #}
{% macro share_of(amount, share) -%}
    {{ money('cast(' ~ amount ~ ' as decimal(28, 2)) * ' ~ share) }}
{%- endmacro %}
