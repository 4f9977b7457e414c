{# The files whose dates with slashes may be D/M/YYYY: two different values make sense as that only (31/1/2019), or one
   where none makes sense as M/D/YYYY only (1/31/2019). A single one among such values is a typing error. #}
{% macro day_first_files(relation, column) -%}
    {%- set text = 'trim(' ~ column ~ ')' -%}
    {%- set small = '(0?[1-9]|1[0-2])' -%}
    {%- set large = '(1[3-9]|2[0-9]|3[01])' -%}
    {%- set day_first = matches_pattern(text, "'^" ~ large ~ "/" ~ small ~ "/[0-9]{4}'") -%}
    {%- set month_first = matches_pattern(text, "'^" ~ small ~ "/" ~ large ~ "/[0-9]{4}'") -%}
    select
        _load_id,
        min(case when {{ day_first }} then {{ text }} end) as day_first_date

    from {{ relation }}

    group by _load_id

    having
        count(distinct case when {{ day_first }} then {{ text }} end)
        > case when count(case when {{ month_first }} then 1 end) > 0 then 1 else 0 end
{%- endmacro %}
