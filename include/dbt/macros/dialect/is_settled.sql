{# Whether a stored message must lie below its partition's next offset, which last moved at `moved_at`. In DuckDB every
   message must. In Snowflake (Snowpipe Streaming) rows precede their move: those younger than it are in flight. #}
{% macro is_settled(ingested_at, moved_at) -%}
    {{ return(adapter.dispatch('is_settled')(ingested_at, moved_at)) }}
{%- endmacro %}

{% macro duckdb__is_settled(ingested_at, moved_at) -%}
    true
{%- endmacro %}

{% macro snowflake__is_settled(ingested_at, moved_at) -%}
    ({{ moved_at }} is null or {{ ingested_at }} <= {{ moved_at }})
{%- endmacro %}
