{# Whether a stored message must lie below its partition's next offset, which moved last at `moved_at`. In DuckDB every
   one. In Snowflake rows may come before their move (Snowpipe Streaming): those since the last one are under way. #}
{% macro is_settled(ingested_at, moved_at) -%}
    {{ return(adapter.dispatch('is_settled')(ingested_at, moved_at)) }}
{%- endmacro %}

{% macro duckdb__is_settled(ingested_at, moved_at) -%}
    true
{%- endmacro %}

{% macro snowflake__is_settled(ingested_at, moved_at) -%}
    ({{ moved_at }} is null or {{ ingested_at }} <= {{ moved_at }})
{%- endmacro %}
