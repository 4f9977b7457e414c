{# Activity of a customer by days since the last purchase: Active <= 30, Recent <= 90, Dormant <= 180, else Inactive. #}
{% macro activity_status(days) -%}
    case
        when {{ days }} <= 30 then 'Active'
        when {{ days }} <= 90 then 'Recent'
        when {{ days }} <= 180 then 'Dormant'
        else 'Inactive'
    end
{%- endmacro %}
