{# Selects the messages of the relation `messages` that a run stores in `history`.

   The first run stores all, whatever the vars say; a later one those of unprocessed_messages. With the vars start_date
   and end_date it also types the events of that half-open range again, but not from a message later than the stored
   one. #}
{% macro new_messages(messages, history) -%}
    {%- if not has_history() -%}
        select * from {{ messages }}
    {%- else -%}
        {{ unprocessed_messages(messages, history) }}
        {%- if timestamp_var('start_date') or timestamp_var('end_date') %}
            or (
                {{ messages }}.event_timestamp >= {{ range_start() }}
                and {{ messages }}.event_timestamp < {{ range_end() }}
                and (known.event_id is null or known.ingested_at >= {{ messages }}.ingested_at)
            )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
