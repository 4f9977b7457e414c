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
