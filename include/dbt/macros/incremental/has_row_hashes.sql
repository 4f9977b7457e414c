{# Whether all rows of a table have a row_hash. One of a release that knew none is compared as a whole, whatever the
   range. #}
{% macro has_row_hashes(relation) -%}
    {%- if 'row_hash' not in adapter.get_columns_in_relation(relation) | map(attribute='name') | map('lower') -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set unhashed = 'select count(*) from ' ~ relation ~ ' where row_hash is null' -%}
    {{ return((run_query(unhashed).rows[0][0] | int) == 0) }}
{%- endmacro %}
