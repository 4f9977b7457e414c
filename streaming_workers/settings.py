"""Every setting of the streaming workers, read from the environment, with its default and its meaning.

The warehouse is the one of `include.settings`: batch and streams write to the same.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from aiokafka.helpers import create_ssl_context
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from include.settings import EnvironmentSettings, Settings

DUCKDB_BATCH_SECONDS = 0.25  # a batch costs 10 ms of processor time
SNOWFLAKE_BATCH_SECONDS = 300  # its warehouse bills a minute each time it wakes


class KafkaSettings(EnvironmentSettings):
    """How to reach the brokers, and how topics are created; the variable is KAFKA_ and the field's name."""

    model_config = SettingsConfigDict(env_prefix="KAFKA_")

    bootstrap_servers: str = Field("localhost:9092", description="Brokers as host:port, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the connection to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, with a SASL protocol."
    )
    sasl_username: str | None = Field(None, description="SASL user name.")
    sasl_password: SecretStr | None = Field(None, description="SASL password.")
    ssl_cafile: Path | None = Field(
        None,
        description="PEM file of the CA that signed the brokers' certificates; default: the system's CAs.",
    )
    ssl_certfile: Path | None = Field(None, description="PEM file of the client's certificate.")
    ssl_keyfile: Path | None = Field(None, description="PEM file of the client's key.")
    partitions: int = Field(3, gt=0, description="Partitions of a topic that a worker creates.")
    replication: int = Field(
        1, gt=0, description="Replication factor of a topic that a worker creates; 3 in production."
    )
    retention_hours: int = Field(
        168,
        gt=0,
        description="Retention of a topic that a worker creates; dead letters are kept four times as long.",
    )

    @model_validator(mode="after")
    def _has_a_login(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME"
                " and KAFKA_SASL_PASSWORD"
            )
        return self

    def client_arguments(self) -> dict[str, Any]:
        """Return what every aiokafka client takes, secrets in clear: for no log and no message."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            arguments["ssl_context"] = create_ssl_context(
                cafile=_text(self.ssl_cafile),
                certfile=_text(self.ssl_certfile),
                keyfile=_text(self.ssl_keyfile),
            )
        if self.security_protocol.startswith("SASL") and self.sasl_password:
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password.get_secret_value(),
            }
        return arguments


class ProducerSettings(EnvironmentSettings):
    """Settings of the producer; the variable is the field's name in upper case."""

    coingecko_url: str = Field("https://api.coingecko.com/api/v3", description="Base URL of the price feed.")
    coingecko_api_key: SecretStr | None = Field(
        None, description="CoinGecko demo key; optional, it raises the rate limit."
    )
    coingecko_coins: str = Field("bitcoin", description="CoinGecko ids of the coins, comma-separated.")
    price_interval_seconds: float = Field(30, gt=0, description="Seconds between two polls of the prices.")
    newsapi_url: str = Field("https://newsapi.org/v2", description="Base URL of the news feed.")
    newsapi_key: SecretStr | None = Field(None, description="NewsAPI key; without it the news feed is off.")
    newsapi_category: str = Field("business", description="Category of the top headlines.")
    newsapi_country: str = Field("us", description="Country of the top headlines.")
    newsapi_query: str = Field("", description="Search terms of NewsAPI; empty: all headlines.")
    feeds_allow_http: bool = Field(
        False, description="Lets COINGECKO_URL and NEWSAPI_URL be plain HTTP beyond this machine."
    )
    news_interval_seconds: float = Field(60, gt=0, description="Seconds between two polls of the news.")
    http_timeout_seconds: float = Field(10, gt=0, description="Time-out of a request to a feed.")
    http_retries: int = Field(3, ge=0, description="Retries of a failed request within one poll.")
    producer_metrics_port: int = Field(
        9108, ge=0, lt=65536, description="Port of /metrics and /healthz; 0 serves neither."
    )

    @model_validator(mode="after")
    def _is_encrypted(self) -> "ProducerSettings":
        """Keys and what becomes news go over HTTPS; on this machine nobody can listen."""
        for name in ("coingecko_url", "newsapi_url"):
            address = urlsplit(getattr(self, name))
            if address.scheme == "http" and not self.feeds_allow_http and not _is_loopback(address.hostname):
                raise ValueError(f"{name.upper()} must begin with https:// (or set FEEDS_ALLOW_HTTP=true)")
        return self


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:  # a name
        return False


class ConsumerSettings(EnvironmentSettings):
    """Settings of the consumer; the variable is CONSUMER_ and the field's name."""

    model_config = SettingsConfigDict(env_prefix="CONSUMER_")

    batch_rows: int = Field(50_000, gt=0, description="Maximum events of a batch.")
    batch_bytes: int = Field(67_108_864, gt=0, description="Maximum bytes of a batch; bounds the memory.")
    batch_seconds: float = Field(
        default_factory=lambda: (
            SNOWFLAKE_BATCH_SECONDS if Settings().warehouse == "snowflake" else DUCKDB_BATCH_SECONDS
        ),
        gt=0,
        description="Maximum time that a batch waits for more events; default 0.25, on Snowflake 300.",
    )
    max_event_bytes: int = Field(
        262_144, gt=0, description="A longer message becomes a dead letter (Kafka's own limit is 1 MiB)."
    )
    session_timeout_seconds: float = Field(
        30,
        gt=0,
        description="The group reassigns a consumer's partitions after this time without a heartbeat.",
    )
    stall_seconds: float = Field(
        default_factory=lambda found: max(120, 3 * found.get("batch_seconds", 0)),
        gt=0,
        description="/healthz answers 503 when there is lag and nothing was stored for this long;"
        " default 120, or three batches.",
    )
    snowflake_sink: Literal["sql", "snowpipe"] = Field(
        "sql",
        description="How events are stored in Snowflake: one SQL transaction a batch, or Snowpipe Streaming.",
    )
    metrics_port: int = Field(
        9109, ge=0, lt=65536, description="Port of /metrics and /healthz; 0 serves neither."
    )

    @model_validator(mode="after")
    def _a_batch_is_no_stall(self) -> "ConsumerSettings":
        if self.stall_seconds <= self.batch_seconds:
            raise ValueError(
                f"CONSUMER_STALL_SECONDS={self.stall_seconds:g} must be above"
                f" CONSUMER_BATCH_SECONDS={self.batch_seconds:g}"
            )
        return self


class MonitoringSettings(EnvironmentSettings):
    """Settings of both workers' monitoring; the variable is the field's name in upper case."""

    metrics_host: str = Field(
        "127.0.0.1", description="Address that /metrics and /healthz listen on; 0.0.0.0 in a container."
    )


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
