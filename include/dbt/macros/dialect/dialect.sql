{# Everything that DuckDB and Snowflake say differently stands in this file. #}

{# DuckDB lacks dbt's own: without it, safe_cast would be a plain cast that fails on the first bad value. #}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}


{# A date from text as M/D/YYYY, YYYYMMDD or ISO 8601 (a time of day is cut off); null where it is none. #}
{% macro parse_date(text) -%}
    {{ return(adapter.dispatch('parse_date')(text)) }}
{%- endmacro %}

{% macro duckdb__parse_date(text) -%}
    cast(try_strptime(left(trim({{ text }}), 10), ['%m/%d/%Y', '%Y-%m-%d', '%Y%m%d']) as date)
{%- endmacro %}

{% macro snowflake__parse_date(text) -%}
    coalesce(
        try_to_date(left(trim({{ text }}), 10), 'MM/DD/YYYY'),
        try_to_date(left(trim({{ text }}), 10), 'YYYY-MM-DD'),
        try_to_date(left(trim({{ text }}), 10), 'YYYYMMDD')
    )
{%- endmacro %}


{# A row's columns as one JSON text, to show what was rejected. #}
{% macro row_as_json(columns) -%}
    {{ return(adapter.dispatch('row_as_json')(columns)) }}
{%- endmacro %}

{% macro duckdb__row_as_json(columns) -%}
    cast(json_object({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}

{% macro snowflake__row_as_json(columns) -%}
    to_json(object_construct_keep_null({% for column in columns %}'{{ column }}', {{ column }}{{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}


{# Integer quotient, exact: decimal division is floating point in DuckDB and rounded in Snowflake. #}
{% macro integer_quotient(dividend, divisor) -%}
    {{ return(adapter.dispatch('integer_quotient')(dividend, divisor)) }}
{%- endmacro %}

{% macro duckdb__integer_quotient(dividend, divisor) -%}
    (({{ dividend }}) // ({{ divisor }}))
{%- endmacro %}

{% macro snowflake__integer_quotient(dividend, divisor) -%}
    ((({{ dividend }}) - mod({{ dividend }}, {{ divisor }})) / ({{ divisor }}))
{%- endmacro %}


{# Several statements as one transaction; dbt-duckdb has already begun one. #}
{% macro in_transaction(statements) -%}
    {{ return(adapter.dispatch('in_transaction')(statements)) }}
{%- endmacro %}

{% macro duckdb__in_transaction(statements) -%}
    {{ return(statements) }}
{%- endmacro %}

{% macro snowflake__in_transaction(statements) -%}
    {{ return(snowflake_dml_explicit_transaction(statements)) }}
{%- endmacro %}


{# The type of a raw column that holds JSON. DuckDB would try every compression of text at each checkpoint: zstd alone
   takes a third of the time and of the space. #}
{% macro json_type() -%}
    {{ return(adapter.dispatch('json_type')()) }}
{%- endmacro %}

{% macro duckdb__json_type() -%}
    json using compression zstd
{%- endmacro %}

{% macro snowflake__json_type() -%}
    variant
{%- endmacro %}


{# The value of a key of a JSON object as text; null where the key is missing or null. #}
{% macro json_text(column, key) -%}
    {{ return(adapter.dispatch('json_text')(column, key)) }}
{%- endmacro %}

{% macro duckdb__json_text(column, key) -%}
    json_extract_string({{ column }}, '$.{{ key }}')
{%- endmacro %}

{% macro snowflake__json_text(column, key) -%}
    cast(get_path({{ column }}, '{{ key }}') as varchar)
{%- endmacro %}


{# The hour in UTC that a time lies in, whatever the session's zone or the time's own. #}
{% macro utc_hour(moment) -%}
    {{ return(adapter.dispatch('utc_hour')(moment)) }}
{%- endmacro %}

{% macro duckdb__utc_hour(moment) -%}
    date_trunc('hour', {{ moment }} at time zone 'UTC') at time zone 'UTC'
{%- endmacro %}

{% macro snowflake__utc_hour(moment) -%}
    cast(date_trunc('hour', convert_timezone('UTC', {{ moment }})) as timestamp_tz)
{%- endmacro %}


{# Whether a part of the text matches a regular expression, an SQL literal without backslashes. #}
{% macro matches_pattern(text, pattern) -%}
    {{ return(adapter.dispatch('matches_pattern')(text, pattern)) }}
{%- endmacro %}

{% macro duckdb__matches_pattern(text, pattern) -%}
    regexp_matches({{ text }}, {{ pattern }})
{%- endmacro %}

{% macro snowflake__matches_pattern(text, pattern) -%}
    regexp_instr({{ text }}, {{ pattern }}) > 0
{%- endmacro %}


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
