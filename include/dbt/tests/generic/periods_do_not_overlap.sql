{# Periods of a key of which one begins before the last one has ended. #}
{% test periods_do_not_overlap(model, keys) %}

select *
from (
    select
        {{ keys | join(', ') }},
        valid_from,
        valid_to,
        lag(valid_to) over (partition by {{ keys | join(', ') }} order by valid_from, valid_to) as last_valid_to
    from {{ model }}
) as periods
where last_valid_to > valid_from or valid_to <= valid_from

{% endtest %}
