{# Where a customer stands, by purchase days and by the silence since, against the longer of the own and the usual gap. #}
{% macro lifecycle_stage(purchase_days, silence, own_gap, usual_gap) -%}
    case
        when {{ purchase_days }} = 0 then null
        when {{ purchase_days }} = 1 and {{ silence }} > 2 * {{ usual_gap }} then 'One-Time'
        when {{ purchase_days }} = 1 then 'New'
        when {{ silence }} > 4 * greatest({{ own_gap }}, {{ usual_gap }}) then 'Lapsed'
        when {{ silence }} > 2 * greatest({{ own_gap }}, {{ usual_gap }}) then 'Lapsing'
        else 'Active Repeat'
    end
{%- endmacro %}
