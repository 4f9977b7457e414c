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
