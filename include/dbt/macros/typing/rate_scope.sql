{# How exactly a rate says when it counts: from a day on, in a year, always. #}
{% macro rate_scope() -%}
    case when first_day is not null then 'day' when rate_year is not null then 'year' else 'always' end
{%- endmacro %}
