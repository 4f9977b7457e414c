{# Whether a text (not null) holds one of crypto_words as a whole word, in any case: `crypto` and `Bitcoin's`, not
   `cryptography`. #}
{% macro mentions_crypto(text) -%}
    {{ matches_pattern('lower(' ~ text ~ ')', "'(^|[^a-z0-9_])(" ~ crypto_words() | join('|') ~ ")([^a-z0-9_]|$)'") }}
{%- endmacro %}
