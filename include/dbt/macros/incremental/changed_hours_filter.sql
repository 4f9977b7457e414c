{# Condition on event_hour for the hours of `events` that an incremental run rebuilds in `target`: those whose number of
   events or newest event differs between the two, however late an event came, and with the vars start_date and
   end_date also the hours of that range. `count_column` holds the number of events in `target`. #}
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
        {%- if timestamp_var('start_date') or timestamp_var('end_date') %}
            or (event_hour >= {{ utc_hour(range_start()) }} and event_hour < {{ range_end() }})
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
