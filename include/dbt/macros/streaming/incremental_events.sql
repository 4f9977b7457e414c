{# How the incremental models of the streams find what to build. #}

{# The messages of the relation called `messages` that a run stores in `history`.

   The first run: all, whatever the vars say. Then those of unprocessed_messages. With the vars start_date and end_date
   also the events that happened in that half-open range, typed anew, but for those that an earlier message brought. #}
{% macro new_messages(messages, history) -%}
    {%- if not has_history() -%}
        select * from {{ messages }}
    {%- else -%}
        {{ unprocessed_messages(messages, history) }}
        {%- if var('start_date') or var('end_date') %}
            or (
                {{ messages }}.event_timestamp >= {{ range_start() }}
                and {{ messages }}.event_timestamp < {{ range_end() }}
                and (known.event_id is null or known.ingested_at >= {{ messages }}.ingested_at)
            )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The messages whose event `history` does not hold, of those that arrived since `streaming_lookback_hours` before the
   newest stored one: late, out of order or stored by a slow consumer. Never "newer than the newest", which loses these
   and, where nothing is stored yet, everything. #}
{% macro unprocessed_messages(messages, history) -%}
    select {{ messages }}.*
    from {{ messages }}
    left join {{ history }} as known on {{ messages }}.event_id = known.event_id
    where
        (
            known.event_id is null
            and {{ messages }}.ingested_at >= (
                select
                    coalesce(
                        {{ dbt.dateadd('hour', -1 * (var('streaming_lookback_hours') | int), 'max(newest.ingested_at)') }},
                        {{ utc_timestamp('0001-01-01') }}
                    )
                from {{ history }} as newest
            )
        )
{%- endmacro %}

{# Which message of an event a row is: 1 for the first that arrived, the one that counts. #}
{% macro arrival_number() -%}
    row_number() over (
        partition by event_id
        order by ingested_at asc, kafka_partition asc, kafka_offset asc
    )
{%- endmacro %}

{# Which hours of `events` an incremental run builds again in `target`, as a condition on event_hour: those whose number
   of events or newest event differs between the two, however late the event came; with the vars start_date and end_date
   also the hours of that range. `count_column` is where `target` counts events. #}
{% macro changed_hours_filter(events, target, count_column) -%}
    {%- if not has_history() -%}
        true
    {%- else -%}
        event_hour in (
            select staged.event_hour
            from (
                select event_hour, count(*) as event_count, max(processed_at) as processed_at
                from {{ events }}
                group by event_hour
            ) as staged
            left join (
                select event_hour, sum({{ count_column }}) as event_count, max(source_processed_at) as processed_at
                from {{ target }}
                group by event_hour
            ) as built
                on staged.event_hour = built.event_hour
            where
                staged.event_count is distinct from built.event_count
                or staged.processed_at is distinct from built.processed_at
        )
        {%- if var('start_date') or var('end_date') %}
            or (event_hour >= {{ utc_hour(range_start()) }} and event_hour < {{ range_end() }})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The two ends of the range, from the vars; an empty one leaves that side open. #}
{% macro range_start() -%}
    {{ utc_timestamp(var('start_date') or '0001-01-01') }}
{%- endmacro %}

{% macro range_end() -%}
    {{ utc_timestamp(var('end_date') or '9999-12-31') }}
{%- endmacro %}

{# A time from ISO text with its zone, or the first moment of a day in UTC; YAML on the command line makes dates of days. #}
{% macro utc_timestamp(moment) -%}
    {%- set text = moment | string -%}
    cast('{{ text }}{{ ' 00:00:00+00:00' if text | length == 10 }}' as timestamp with time zone)
{%- endmacro %}

{# Whether the model has rows of earlier runs; no where the warehouse may not be asked (dbt compile --no-introspect). #}
{% macro has_history() -%}
    {{ return(flags.INTROSPECT is not sameas false and is_incremental()) }}
{%- endmacro %}
