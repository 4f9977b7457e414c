{# Rank of a raw row among those with the same key: 1, which counts, is the newest load's first row in its file. #}
{% macro deduplication_rank(columns, relation='typed') -%}
    row_number() over (
        partition by {{ columns | join(', ') }}
        order by {{ relation }}._loaded_at desc, {{ relation }}._source_file asc, {{ relation }}._source_row asc
    )
{%- endmacro %}
