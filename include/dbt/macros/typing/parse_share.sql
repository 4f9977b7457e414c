{# A share as a fraction: `10%`, `10 %` and `0.1` are ten per cent, whatever the column. A bare 10 is that only where the
   column's name says per cent (`in_percent`); a bare 1 could be either and is null, as is what exceeds 100 per cent. #}
{% macro parse_share(column, in_percent=false) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    {%- set number = '[+]?([0-9]+([.][0-9]+)?|[.][0-9]+)' -%}
    {%- set percent = dbt.safe_cast("trim(replace(" ~ text ~ ", '%', ''))", 'decimal(9, 4)') -%}
    {%- set bare = dbt.safe_cast(text, 'decimal(9, 6)') -%}
    case
        when {{ matches_pattern(text, "'^" ~ number ~ " *%$'") }}
            then case when {{ percent }} <= 100 then cast({{ percent }} * 0.01 as decimal(9, 6)) end
        when {{ matches_pattern(text, "'^" ~ number ~ "$'") }}
            then
                case
                    when {{ bare }} < 1 then {{ bare }}
                    {%- if in_percent %}
                    when {{ bare }} > 1 and {{ bare }} <= 100 then cast({{ bare }} * 0.01 as decimal(9, 6))
                    {%- endif %}
                end
    end
{%- endmacro %}
