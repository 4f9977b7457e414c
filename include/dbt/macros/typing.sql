{# Text from the raw tables into types: null where a value is empty or is not of its type. #}

{% macro clean_text(column) -%}
    nullif(trim({{ column }}), '')
{%- endmacro %}

{% macro parse_decimal(column, scale=4) -%}
    {{ dbt.safe_cast(clean_text(column), 'decimal(18, ' ~ scale ~ ')') }}
{%- endmacro %}

{# A whole number: 12 and 12.0, not 12.5 (a cast to an integer would round it). #}
{% macro parse_integer(column) -%}
    case
        when {{ parse_decimal(column) }} = round({{ parse_decimal(column) }}, 0)
            then cast({{ parse_decimal(column) }} as bigint)
    end
{%- endmacro %}

{# A share as `10%` or `0.1`, as a fraction; a bare 10 could mean either and is null. #}
{% macro parse_share(column) -%}
    case
        when right(trim({{ column }}), 1) = '%'
            then cast({{ dbt.safe_cast("replace(" ~ column ~ ", '%', '')", 'decimal(9, 4)') }} * 0.01 as decimal(9, 6))
        when {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }} <= 1
            then {{ dbt.safe_cast(clean_text(column), 'decimal(9, 6)') }}
    end
{%- endmacro %}

{# 1 to 12 from a month's English name or its first three letters, in any case. #}
{% macro parse_month(column) -%}
    case lower(left(trim({{ column }}), 3))
    {%- for name in month_names() %}
        when '{{ name[:3] | lower }}' then {{ loop.index }}
    {%- endfor %}
    end
{%- endmacro %}

{# The English name of a day's month, whatever the session's language. #}
{% macro month_name(day) -%}
    case cast(extract(month from {{ day }}) as integer)
    {%- for name in month_names() %}
        when {{ loop.index }} then '{{ name }}'
    {%- endfor %}
    end
{%- endmacro %}

{% macro month_names() -%}
    {{ return(['January', 'February', 'March', 'April', 'May', 'June', 'July',
               'August', 'September', 'October', 'November', 'December']) }}
{%- endmacro %}

{# Money to the cent, half away from zero. #}
{% macro money(amount) -%}
    cast(round({{ amount }}, 2) as decimal(18, 2))
{%- endmacro %}

{# A value as it stands in the file, for the reason of a rejection. #}
{% macro quoted(column) -%}
    '"' || coalesce({{ column }}, '') || '"'
{%- endmacro %}

{# A key from columns that together identify a row; the separator keeps ('1', '23') and ('12', '3') apart. #}
{% macro surrogate_key(columns) -%}
    md5({% for column in columns %}cast({{ column }} as varchar){{ " || '|' || " if not loop.last }}{% endfor %})
{%- endmacro %}

{# Before the shop existed or after the row was loaded (a day is left for time zones). #}
{% macro is_impossible_date(column, loaded_at='_loaded_at') -%}
    (
        {{ column }} < cast('{{ var('earliest_valid_date') }}' as date)
        or {{ column }} > cast({{ dbt.dateadd('day', 1, loaded_at) }} as date)
    )
{%- endmacro %}

{# Which copy of a key a raw row is: 1 for the one that counts, of the newest load and the first in its file. #}
{% macro copy_number(columns, relation='typed') -%}
    row_number() over (
        partition by {{ columns | join(', ') }}
        order by {{ relation }}._loaded_at desc, {{ relation }}._source_file asc, {{ relation }}._source_row asc
    )
{%- endmacro %}
