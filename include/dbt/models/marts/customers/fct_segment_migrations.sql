{% set key = [
    'migrations.model_version',
    'migrations.migrated_at',
    "coalesce(migrations.from_segment_name, 'none')",
    'migrations.to_segment_id',
] -%}

with

versions as (

    select * from {{ ref('segment_history') }}

),

changes as (

    select
        customer_id,
        model_version,
        dbt_valid_from as migrated_at,
        lag(segment_id) over (partition by customer_id order by dbt_valid_from) as from_segment_id,
        lag(segment_name) over (partition by customer_id order by dbt_valid_from) as from_segment_name,
        lag(model_version) over (partition by customer_id order by dbt_valid_from) as from_version,
        segment_id as to_segment_id,
        segment_name as to_segment_name,
        segment_id_of_version_before

    from versions

),

-- By behaviour where no other version came, or where the version before would have moved the customer there too.
explained as (

    select
        *,
        case
            when from_version is null then 'first segment'
            when from_version = model_version or segment_id_of_version_before = to_segment_id then 'behaviour'
            else 'model'
        end as move_cause

    from changes

    where from_segment_id is distinct from to_segment_id

),

migrations as (

    select
        model_version,
        migrated_at,
        move_cause,
        from_segment_id,
        from_segment_name,
        to_segment_id,
        to_segment_name,
        count(*) as customer_count

    from explained

    group by
        model_version,
        migrated_at,
        move_cause,
        from_segment_id,
        from_segment_name,
        to_segment_id,
        to_segment_name

),

moments as (

    select distinct migrated_at from migrations

),

-- All customers with a segment at that moment, whether they moved or not.
customers_then as (

    select
        moments.migrated_at,
        count(*) as customer_count

    from moments

    inner join versions
        on
            moments.migrated_at >= versions.dbt_valid_from
            and (moments.migrated_at < versions.dbt_valid_to or versions.dbt_valid_to is null)

    group by moments.migrated_at

)

select
    case
        when migrations.move_cause = 'model' then {{ surrogate_key(key + ['migrations.move_cause']) }}
        else {{ surrogate_key(key) }}
    end as segment_migration_id,
    migrations.model_version,
    cast(migrations.migrated_at as timestamp with time zone) as migrated_at,
    migrations.move_cause,
    migrations.from_segment_id,
    migrations.from_segment_name,
    migrations.to_segment_id,
    migrations.to_segment_name,
    cast(migrations.customer_count as bigint) as customer_count,
    cast(migrations.customer_count * 1.0 / customers_then.customer_count as decimal(9, 6)) as customer_share

from migrations

inner join customers_then on migrations.migrated_at = customers_then.migrated_at
