with

results as (

    select * from {{ source('operations', 'dbt_run_results') }}

),

newest as (

    select {{ dbt.dateadd('day', -90, 'max(completed_at)') }} as looked_at_from

    from results

),

finished as (

    select
        invocation_id,
        node_id,
        resource_type,
        completed_at,
        -- Percentiles of decimals are truncated, not rounded.
        cast(execution_seconds as double) as execution_seconds,
        rows_affected,
        message,
        status not in ('success', 'pass', 'warn') as has_failed

    from results

    -- A skipped node did not run.
    where status in ('success', 'pass', 'warn', 'fail', 'error', 'runtime error')
        and completed_at >= (select newest.looked_at_from from newest)

),

ranked as (

    select
        *,
        row_number() over (partition by node_id order by completed_at desc, invocation_id desc) as runs_ago,
        lag(has_failed) over (partition by node_id order by completed_at, invocation_id) as had_failed_before

    from finished

),

recent as (

    select * from ranked

    where runs_ago <= {{ number_var('node_health_runs', whole=true) }}

),

aggregated as (

    select
        node_id,
        min(resource_type) as resource_type,
        count(*) as run_count,
        sum(case when has_failed then 1 else 0 end) as failed_count,
        sum(case when had_failed_before and not has_failed then 1 else 0 end) as recovered_count,
        percentile_cont(0.5) within group (order by execution_seconds) as median_seconds,
        percentile_cont(0.95) within group (order by execution_seconds) as p95_seconds,
        percentile_cont(0.5) within group (
            order by case when runs_ago > 1 then execution_seconds end
        ) as usual_seconds,
        max(case when runs_ago = 1 then execution_seconds end) as last_seconds,
        max(case when runs_ago = 1 then rows_affected end) as last_rows_affected,
        max(case when runs_ago = 1 and has_failed then 1 else 0 end) = 1 as has_failed_last,
        max(case when runs_ago = 1 and has_failed then message end) as last_error,
        max(completed_at) as last_run_at,
        max(case when has_failed then completed_at end) as last_failed_at

    from recent

    group by node_id

),

final as (

    select
        node_id,
        split_part(node_id, '.', 3) as node_name,
        resource_type,
        run_count,
        cast(failed_count as bigint) as failed_count,
        cast(recovered_count as bigint) as recovered_count,
        recovered_count >= 2 as is_flaky,
        cast(median_seconds as decimal(18, 3)) as median_seconds,
        cast(p95_seconds as decimal(18, 3)) as p95_seconds,
        cast(last_seconds as decimal(18, 3)) as last_seconds,
        coalesce(
            run_count > 5 and last_seconds > 2 * usual_seconds and last_seconds > usual_seconds + 1, false
        ) as is_slower_than_usual,
        last_rows_affected,
        has_failed_last,
        last_error,
        last_run_at,
        last_failed_at

    from aggregated

)

select * from final
