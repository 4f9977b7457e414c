-- The lines' delivery adds up to the transaction's one charge, exactly.
with

charged as (

    select
        transaction_id,
        transaction_occurrence,
        max(delivery_charge_amount) as charge_amount

    from {{ ref('stg_online_sales') }}

    group by transaction_id, transaction_occurrence

),

allocated as (

    select
        transaction_id,
        transaction_occurrence,
        cast(sum(delivery_amount) as decimal(18, 2)) as delivery_amount

    from {{ ref('int_sales_priced') }}

    group by transaction_id, transaction_occurrence

)

select
    charged.transaction_id,
    charged.charge_amount,
    allocated.delivery_amount
from charged
left join allocated
    on
        charged.transaction_id = allocated.transaction_id
        and charged.transaction_occurrence = allocated.transaction_occurrence
where charged.charge_amount is distinct from allocated.delivery_amount
