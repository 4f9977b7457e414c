{# The part of a rate's reject_rule that its optional columns year and valid_from may break, as branches of a case over
   rate_year, first_day and day_first_date. #}
{% macro rate_rule() -%}
    when {{ is_impossible_year('year', 'rate_year') }}
        then 'year is not a possible year'
    when day_first_date is not null and {{ reads_two_ways('valid_from') }}
        then 'valid_from can be read in two ways'
    when
        {{ clean_text('valid_from') }} is not null
        and (first_day is null or first_day < cast('{{ date_var('earliest_valid_date') }}' as date))
        then 'valid_from is not a possible date'
    when first_day is not null and rate_year is not null and extract(year from first_day) != rate_year
        then 'valid_from lies in another year than its row says'
{%- endmacro %}
