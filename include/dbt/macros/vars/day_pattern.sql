{# A regular expression of days as YYYY-MM-DD. The warehouse refuses the 29 February of a year that has none. #}
{% macro day_pattern() -%}
    {{ return(
        '(?!0000)[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])'
        ~ '|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|[12][0-9]))'
    ) }}
{%- endmacro %}
