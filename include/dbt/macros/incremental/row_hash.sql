{# A hash of all columns of the model's contract but those that tell of the build, not of the row: equal rows have equal
   hashes, also where a value is null. A unit test has no contract, and its rows all the same hash. #}
{% macro row_hash() -%}
    md5(
        ''
        {%- for column in (model.columns or {}) | sort if column not in ('row_hash', 'source_loaded_at', 'processed_at') %}
        || '|' || coalesce(cast({{ column }} as varchar), '<null>')
        {%- endfor %}
    )
{%- endmacro %}
