{# The words that mentions_crypto finds, as regular expressions in lower case. #}
{% macro crypto_words() -%}
    {{ return(['altcoins?', 'bitcoins?', 'blockchains?', 'btc', 'cryptos?', 'cryptocurrency', 'cryptocurrencies',
               'ethereum', 'stablecoins?']) }}
{%- endmacro %}
