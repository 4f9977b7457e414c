{# Those of the newest `days` that have less than half of the rows that the same weekday had in the median of the eight
   weeks before: a part of the file may be missing. Only a warning, since holidays look the same. A day with fewer than
   four such weekdays before it cannot be judged. #}
{% test usual_number_of_rows(model, column_name, days=number_var('volume_days', whole=true)) %}

{{ config(severity='warn') }}

{%- set unusual_days %}
with

counted as (

    select
        days.date_day,
        days.day_of_week,
        days.day_name,
        count(lines.{{ column_name }}) as row_count

    from {{ ref('dim_datetime') }} as days

    left join {{ model }} as lines on days.date_day = lines.{{ column_name }}

    group by days.date_day, days.day_of_week, days.day_name

),

compared as (

    select
        counted.date_day,
        counted.day_name,
        counted.row_count,
        median(earlier.row_count) as usual_row_count,
        count(*) as week_count

    from counted

    inner join counted as earlier
        on
            counted.day_of_week = earlier.day_of_week
            and earlier.date_day < counted.date_day
            and earlier.date_day >= {{ dbt.dateadd('day', -56, 'counted.date_day') }}

    group by counted.date_day, counted.day_name, counted.row_count

)

select
    date_day,
    day_name,
    row_count,
    usual_row_count
from compared
where
    date_day > (select {{ dbt.dateadd('day', -1 * (days | int), 'max(date_day)') }} from counted)
    and week_count >= 4
    and row_count * 2 < usual_row_count
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- for day, name, found, usual in run_query(unusual_days ~ ' order by date_day').rows %}
        {%- do exceptions.warn(
            name ~ ', ' ~ day ~ ' has ' ~ found ~ ' order lines, less than half of the ' ~ '%g' % (usual | float)
            ~ ' that are usual on this weekday: is a file missing?') %}
    {%- endfor %}
{%- endif %}

{{ unusual_days }}

{% endtest %}
