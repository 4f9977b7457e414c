{# on-run-start hook: judges every var before anything is built, also one that no model of this run uses. #}
{% macro check_vars() -%}
    {%- set dates = ['as_of_date', 'earliest_valid_date'] -%}
    {%- set times = ['start_date', 'end_date'] -%}
    {%- set integers = [
        'max_quantity', 'max_tenure_months', 'min_basket_count', 'node_health_runs', 'reused_transaction_gap_days',
        'streaming_lookback_hours', 'volume_days',
    ] -%}
    {%- set numbers = [
        'max_delivery_charge', 'max_price', 'max_rejected_coupon_share', 'max_rejected_share', 'max_spend',
        'max_transaction_amount', 'max_unknown_customer_share',
    ] -%}
    {%- set known = dates + times + integers + numbers + ['dry_run'] -%}
    {%- for name in invocation_args_dict.get('vars', {}) if name not in known -%}
        {{ exceptions.raise_compiler_error('There is no var ' ~ name ~ '; see vars in dbt_project.yml.') }}
    {%- endfor -%}
    {%- for name in dates -%}{%- do date_var(name) -%}{%- endfor -%}
    {%- for name in times -%}{%- do timestamp_var(name) -%}{%- endfor -%}
    {%- for name in integers -%}{%- do number_var(name, whole=true) -%}{%- endfor -%}
    {%- for name in numbers -%}{%- do number_var(name) -%}{%- endfor -%}
    {%- do switch_var('dry_run') -%}
{%- endmacro %}
