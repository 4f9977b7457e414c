{# Selects the messages whose event `history` does not hold, among those that arrived up to `streaming_lookback_hours`
   before its newest one or later: late, out of order or stored by a slow consumer. A plain "newer than the newest"
   would miss these and, with an empty history, all messages. #}
{% macro unprocessed_messages(messages, history) -%}
    {%- set hours = number_var('streaming_lookback_hours', whole=true) | int -%}
    select {{ messages }}.*
    from {{ messages }}
    left join {{ history }} as known on {{ messages }}.event_id = known.event_id
    where
        (
            known.event_id is null
            and {{ messages }}.ingested_at >= (
                select
                    coalesce(
                        {{ dbt.dateadd('hour', -1 * hours, 'max(newest.ingested_at)') }},
                        {{ utc_timestamp('0001-01-01') }}
                    )
                from {{ history }} as newest
            )
        )
{%- endmacro %}
