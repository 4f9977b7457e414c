{# Reconciliation: sums over the model against sums over another relation. `sums` maps expressions of the one to those
   of the other; `rows` and `to_rows` are conditions. #}
{% test adds_up_to(model, to, sums, rows='true', to_rows='true') %}

with

found as (

    {{ amounts_summed(sums.keys(), model, rows) }}

),

expected as (

    {{ amounts_summed(sums.values(), to, to_rows) }}

)

select * from found
except
select * from expected

{% endtest %}
