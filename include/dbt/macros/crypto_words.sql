{% macro crypto_words() -%}
    {{ return(['altcoins?', 'bitcoins?', 'blockchains?', 'btc', 'cryptos?', 'cryptocurrency', 'cryptocurrencies',
               'ethereum', 'stablecoins?']) }}
{%- endmacro %}
