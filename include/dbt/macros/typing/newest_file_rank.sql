{# 1 for the rows of a key that lie in the newest file with the key, 2 and more for those in older ones. #}
{% macro newest_file_rank(columns) -%}
    dense_rank() over (
        partition by {{ columns | join(', ') }}
        order by _loaded_at desc, _source_file asc
    )
{%- endmacro %}
