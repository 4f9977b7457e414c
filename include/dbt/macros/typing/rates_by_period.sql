{# The rates of `relation` cut into periods, so that at most one row matches a key on a day: the rate that begins last,
   of two that begin together the more exact one. Adds valid_from and valid_to (exclusive) to its columns. #}
{% macro rates_by_period(relation, keys) -%}
    select
        rates.*,
        periods.valid_from,
        periods.valid_to,
        row_number() over (
            partition by {% for key in keys %}periods.{{ key }}, {% endfor %}periods.valid_from
            order by
                rates.starts_on desc,
                rates.rate_scope asc,
                rates.loaded_at desc,
                rates.source_file asc,
                rates.source_row asc
        ) as rate_rank

    from (
        select
            {{ keys | join(', ') }},
            bound as valid_from,
            lead(bound) over (partition by {{ keys | join(', ') }} order by bound) as valid_to
        from (
            select {{ keys | join(', ') }}, starts_on as bound from {{ relation }}
            union
            select {{ keys | join(', ') }}, ends_before as bound from {{ relation }}
        ) as bounds
    ) as periods

    inner join {{ relation }} as rates
        on
            {% for key in keys -%}
            periods.{{ key }} = rates.{{ key }} and
            {% endfor -%}
            periods.valid_from >= rates.starts_on
            and periods.valid_to <= rates.ends_before
{%- endmacro %}
