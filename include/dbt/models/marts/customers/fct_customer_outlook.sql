with

predictions as (

    select * from {{ source('outlook', 'customer_outlook_predictions') }}

),

segments as (

    select * from {{ ref('fct_customer_segments') }}

),

actions as (

    select * from {{ ref('next_best_actions') }}

),

newest as (

    select max(as_of_date) as as_of_date
    from predictions

),

banded as (

    select
        predictions.*,
        {{ probability_band('predictions.probability') }} as probability_band

    from predictions

    inner join newest on predictions.as_of_date = newest.as_of_date

)

select
    banded.customer_id,
    banded.as_of_date,
    banded.horizon_days,
    banded.probability as purchase_probability,
    banded.probability_band,
    banded.expected_purchases,
    segments.segment_id,
    segments.segment_name,
    segments.lifecycle_stage,
    actions.next_best_action,
    banded.predicted_at

from banded

left join segments on banded.customer_id = segments.customer_id

left join actions
    on
        banded.probability_band = actions.probability_band
        and coalesce(segments.segment_id, -1) = coalesce(actions.segment_id, -1)
