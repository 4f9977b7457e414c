{# A date from M/D/YYYY, YYYYMMDD or YYYY-MM-DD, each with or without a time of day (24 hours or AM and PM, after T or
   blanks, with or without a zone), which is cut off: the day is the one that is written. Null where it is none. #}
{% macro parse_date(column) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    {%- set day = "split_part(split_part(" ~ text ~ ", ' ', 1), 'T', 1)" -%}
    {%- set hours24 = '([01]?[0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?' -%}
    {%- set hours12 = '(0?[1-9]|1[0-2]):[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)? ?[AaPp][Mm]' -%}
    {%- set zone = '( ?(Z|UTC|GMT|[+-][0-9][0-9](:?[0-9][0-9])?))?' -%}
    {%- set time = '((T| +)(' ~ hours24 ~ '|' ~ hours12 ~ ')' ~ zone ~ ')?$' -%}
    case
        when {{ matches_pattern(text, "'^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}" ~ time ~ "'") }}
            then {{ dbt.safe_cast(
                "split_part(" ~ day ~ ", '/', 3) || '-' || lpad(split_part(" ~ day ~ ", '/', 1), 2, '0')"
                ~ " || '-' || lpad(split_part(" ~ day ~ ", '/', 2), 2, '0')", 'date') }}
        when {{ matches_pattern(text, "'^[0-9]{4}-[0-9]{2}-[0-9]{2}" ~ time ~ "'") }}
            then {{ dbt.safe_cast(day, 'date') }}
        when {{ matches_pattern(text, "'^[0-9]{8}" ~ time ~ "'") }}
            then {{ dbt.safe_cast(
                "left(" ~ day ~ ", 4) || '-' || substr(" ~ day ~ ", 5, 2) || '-' || substr(" ~ day ~ ", 7, 2)", 'date') }}
    end
{%- endmacro %}
