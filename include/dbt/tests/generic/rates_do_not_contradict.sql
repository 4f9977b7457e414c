{# Stops the build where two rows give one key and time different rates: no order of the files says which one counts. #}
{% test rates_do_not_contradict(model, rate_column, keys) %}

{%- set same_keys = [] %}
{%- for key in keys + ['starts_on', 'rate_scope'] %}
    {%- do same_keys.append('one.' ~ key ~ ' = other.' ~ key) %}
{%- endfor %}
{%- set contradictions %}
select
    one.source_file,
    one.source_row,
    one.raw_row,
    other.source_file as other_file,
    other.source_row as other_row,
    other.raw_row as other_raw_row
from {{ model }} as one
cross join {{ model }} as other
where
    one.{{ rate_column }} != other.{{ rate_column }}
    and {{ same_keys | join(' and ') }}
    and one.reject_reason is null
    and other.reject_reason is null
    and (
        one.source_file < other.source_file
        or (one.source_file = other.source_file and one.source_row < other.source_row)
    )
{%- endset %}

{%- if execute and flags.WHICH in ('build', 'test') %}
    {%- for file, row, raw, other_file, other_row, other_raw in run_query(contradictions ~ ' order by 1, 2, 4, 5').rows[:1] %}
        {%- do exceptions.raise_compiler_error(
            file ~ ', row ' ~ row ~ ' ' ~ raw ~ ' and ' ~ other_file ~ ', row ' ~ other_row ~ ' ' ~ other_raw
            ~ ' contradict each other: keep one, or say in the columns year or valid_from when each counts.') %}
    {%- endfor %}
{%- endif %}

{{ contradictions }}

{% endtest %}
