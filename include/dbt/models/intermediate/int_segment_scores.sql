{#- One scan whatever the number of customers: the model is one wide row, and each distance is an expression. -#}
{%- set features = segment_features() -%}
{%- set roles = ['in_use', 'before'] -%}
{%- set slots = range(10) -%}
{%- set far = 'cast(1e300 as double precision)' %}
-- noqa: disable=LT02,LT05
with

model as (

    select * from {{ ref('segment_model') }}

),

seeded as (

    select * from {{ ref('customer_segments') }}

),

features as (

    select * from {{ ref('int_customer_features') }}
    where frequency > 0

),

wide_model as (

    select
        max(case when model_role = 'in_use' then model_version end) as model_version,
        max(case when model_role = 'before' then model_version end) as version_before,
        {%- for slot in slots %}
        max(case when model_role = 'in_use' and segment_id = {{ slot }} then segment_name end) as name_{{ slot }},
        {%- endfor %}
        {%- for role in roles %}
            {%- for feature in features %}
                {%- for part in ['unit', 'weight', 'mean', 'scale'] %}
        max(case when model_role = '{{ role }}' and feature_name = '{{ feature }}' then feature_{{ part }} end)
            as {{ role }}_{{ feature }}_{{ part }},
                {%- endfor %}
                {%- for slot in slots %}
        max(
            case
                when model_role = '{{ role }}' and feature_name = '{{ feature }}' and segment_id = {{ slot }}
                    then centroid
            end
        ) as {{ role }}_{{ feature }}_{{ slot }},
                {%- endfor %}
            {%- endfor %}
        {%- endfor %}
        count(*) as row_count

    from model

),

valued as (

    select
        customer_id,
        as_of_date,
        {%- for feature, sql in features.items() %}
        {{ sql }} as {{ feature }}{{ ',' if not loop.last }}
        {%- endfor %}

    from features

),

-- As SegmentModel.standardize: without a value a customer stands at the mean.
standardised as (

    select
        valued.customer_id,
        valued.as_of_date,
        wide_model.*,
        {%- for role in roles %}
            {%- for feature in features %}
            {%- set prefix = 'wide_model.' ~ role ~ '_' ~ feature %}
        case
            when valued.{{ feature }} is null or {{ prefix }}_unit is null then 0
            else greatest(
                least(
                    (ln(1 + valued.{{ feature }} / {{ prefix }}_unit) - {{ prefix }}_mean) / {{ prefix }}_scale, 3
                ), -3
            ) * {{ prefix }}_weight
        end as {{ role }}_{{ feature }}{{ ',' if not (loop.last and role == roles[-1]) }}
            {%- endfor %}
        {%- endfor %}

    from valued

    cross join wide_model

    where wide_model.model_version is not null

),

distances as (

    select
        *,
        {%- for role in roles %}
            {%- for slot in slots %}
        coalesce(
            {%- for feature in features %}
            {{ '+ ' if not loop.first }}{% set centroid = role ~ '_' ~ feature ~ '_' ~ slot -%}
            case
                when {{ role }}_{{ feature }}_unit is null then 0
                else ({{ role }}_{{ feature }} - {{ centroid }}) * ({{ role }}_{{ feature }} - {{ centroid }})
            end
            {%- endfor %}, {{ far }}
        ) as {{ role }}_distance_{{ slot }}{{ ',' if not (loop.last and role == roles[-1]) }}
            {%- endfor %}
        {%- endfor %}

    from standardised

),

nearest as (

    select
        *,
        {%- for role in roles %}
        least(
            {%- for slot in slots %}
            {{ role }}_distance_{{ slot }}{{ ',' if not loop.last }}
            {%- endfor %}
        ) as {{ role }}_distance{{ ',' if not loop.last }}
        {%- endfor %}

    from distances

),

scored as (

    select
        customer_id,
        as_of_date,
        case
            {%- for slot in slots %}
            when in_use_distance = in_use_distance_{{ slot }} then {{ slot }}
            {%- endfor %}
        end as segment_id,
        case
            {%- for slot in slots %}
            when in_use_distance = in_use_distance_{{ slot }} then name_{{ slot }}
            {%- endfor %}
        end as segment_name,
        model_version,
        case
            when version_before is null then null
            {%- for slot in slots %}
            when before_distance = before_distance_{{ slot }} then {{ slot }}
            {%- endfor %}
        end as segment_id_of_version_before

    from nearest

),

-- Segments that come without their model, as a seed written by hand.
without_model as (

    select
        seeded.customer_id,
        features.as_of_date,
        seeded.segment_id,
        seeded.segment_name,
        seeded.model_version,
        cast(null as integer) as segment_id_of_version_before

    from seeded

    inner join features on seeded.customer_id = features.customer_id

    where not exists (select 1 from model)

),

united as (

    select * from scored

    union all

    select * from without_model

)

select
    customer_id,
    as_of_date,
    cast(segment_id as integer) as segment_id,
    segment_name,
    model_version,
    cast(segment_id_of_version_before as integer) as segment_id_of_version_before

from united
