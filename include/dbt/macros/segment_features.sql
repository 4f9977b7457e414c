{# What a model may weigh, as SQL over int_customer_features; ml/features.py computes the same. #}
{% macro segment_features() -%}
    {{ return({
        'recency_days': 'cast(recency_days as double precision)',
        'frequency': 'cast(frequency as double precision)',
        'buying_span_days': 'cast(buying_span_days as double precision)',
        'average_order_value': 'cast(monetary as double precision) / cast(frequency as double precision)',
        'purchase_days': 'cast(purchase_days as double precision)',
        'purchase_day_value': 'cast(monetary as double precision) / cast(purchase_days as double precision)',
        'silence_days': 'case when purchase_days > 1 then cast(recency_days as double precision) end',
        'is_repeat': 'case when purchase_days > 1 then cast(1 as double precision) else cast(0 as double precision) end',
    }) }}
{%- endmacro %}
