{# Which copy of a key a raw row is: 1 for the one that counts, of the newest load and the first in its file. #}
{% macro deduplication_rank(columns) -%}
    row_number() over (
        partition by {{ columns | join(', ') }}
        order by _loaded_at desc, _source_file asc, _source_row asc
    )
{%- endmacro %}
