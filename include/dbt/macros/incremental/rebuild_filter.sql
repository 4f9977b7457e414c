{# Condition on `date_column` for the rows of `source` that an incremental run rebuilds in `target`.

   With the vars start_date and end_date: that half-open range, also on the first run.
   Otherwise, on an incremental run: everything from the earliest day on which source and target differ (in number of
   rows or newest load), and the last `lookback_days` in any case. That covers late rows, corrected files and rows that
   no longer exist; a plain "newer than the newest" would miss them. #}
{% macro rebuild_filter(date_column, source, target) -%}
    {%- if flags.FULL_REFRESH -%}
        true
    {%- elif var('start_date') or var('end_date') -%}
        {{ date_column }} >= cast('{{ var('start_date') or '0001-01-01' }}' as date)
        and {{ date_column }} < cast('{{ var('end_date') or '9999-12-31' }}' as date)
    {%- elif is_incremental() -%}
        {{ date_column }} >= (
            select min(rebuild_days.day)
            from (
                select coalesce(source_days.day, target_days.day) as day
                from (
                    select {{ date_column }} as day, count(*) as row_count, max(source_loaded_at) as loaded_at
                    from {{ source }}
                    group by 1
                ) as source_days
                full outer join (
                    select {{ date_column }} as day, count(*) as row_count, max(source_loaded_at) as loaded_at
                    from {{ target }}
                    group by 1
                ) as target_days
                    on source_days.day = target_days.day
                where
                    source_days.row_count is distinct from target_days.row_count
                    or source_days.loaded_at is distinct from target_days.loaded_at
                union all
                select
                    cast({{ dbt.dateadd('day', -1 * (var('lookback_days') | int), 'max(' ~ date_column ~ ')') }} as date)
                from {{ target }}
            ) as rebuild_days
        )
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}
