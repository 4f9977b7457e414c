"""Every setting of the product, read from the environment once, with its default and its meaning."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "include" / "dbt"
SNOWFLAKE_CONNECTION = "snowflake_default"  # of Airflow
SNOWFLAKE_DATABASE = "MARKETING_INSIGHTS_DB"


class Settings(BaseSettings):
    """Settings of the batch product; the environment variable is the field's name in upper case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    local_dir: Path = Field(
        PROJECT_ROOT / ".local", description="Folder of all run-time state on this machine."
    )
    warehouse: Literal["duckdb", "snowflake"] = Field("duckdb", description="Where the tables live.")
    duckdb_path: Path = Field(
        Path(),
        description="DuckDB file; default: warehouse/marketing_insights.duckdb in local_dir.",
        validate_default=True,
    )
    source_location: str = Field(
        "",
        description="Folder or object-store URI (s3://conn_id@bucket/path) that holds the shop's files.",
    )
    source_timeout_seconds: float = Field(
        900, gt=0, description="Longest that an object store may take to list the files or to deliver one."
    )
    pipeline_schedule: str = Field(
        "0 0 * * *",
        description="Cron of the daily batch in UTC; midnight makes an interval a day. 'none': by hand only.",
    )
    streaming_schedule: str = Field(
        "0 * * * *",
        description="Cron of the streaming marts in UTC, on the hour as they are. 'none': by hand only.",
    )
    retraining_schedule: str = Field(
        "0 3 * * 0",
        description="Cron of the segments' retraining in UTC, beside each new fct_sales. 'none': that only.",
    )
    segments_seed_file: Path = Field(
        DBT_PROJECT_DIR / "seeds" / "customer_segments.csv",
        description="Copy of the segments in use, for whoever runs dbt seed by hand.",
    )
    max_rejected_share: float = Field(
        0.05, ge=0, le=1, description="Largest share of a dataset's rows that may go to quarantine."
    )
    max_price_age_minutes: int = Field(
        60, gt=0, description="The streaming marts wait where no price was stored for longer than this."
    )
    max_news_age_minutes: int = Field(
        1440, gt=0, description="The same for the news, which stay away for hours at night."
    )
    max_stream_lag: int = Field(
        10_000, ge=0, description="Most messages of a topic that may wait in Kafka when the marts are built."
    )
    airflow_port: int = Field(
        8080, gt=0, lt=65536, description="Port of the Airflow UI and API on this machine."
    )
    feeds: Literal["simulator", "live", "none"] = Field(
        "simulator",
        description="What the local stack streams: made-up feeds, the real ones, or nothing.",
    )
    simulator_port: int = Field(
        8094, gt=0, lt=65536, description="Port of the simulated feeds on this machine."
    )
    kafka_port: int = Field(
        9092, gt=0, lt=65535, description="Port of the local Kafka broker; its controller takes the next one."
    )
    alert_after_minutes: int = Field(60, gt=0, description="A run that takes longer raises a deadline alert.")
    alert_webhook_url: SecretStr | None = Field(
        None, description="Gets each alert as a POST of a JSON object, beside the log."
    )
    alert_slack_webhook_url: SecretStr | None = Field(
        None, description="Slack's incoming webhook (or one like it) for the alerts."
    )
    alert_email_to: str = Field(
        "", description="Addresses for the alerts, with commas; sent by the connection smtp_default."
    )

    @field_validator("local_dir")
    @classmethod
    def _from_project_root(cls, value: Path) -> Path:
        return PROJECT_ROOT / value.expanduser()

    @field_validator("duckdb_path")
    @classmethod
    def _default_in_local_dir(cls, value: Path, info: ValidationInfo) -> Path:
        if value == Path():
            return Path(info.data["local_dir"]) / "warehouse" / "marketing_insights.duckdb"
        return PROJECT_ROOT / value.expanduser()


class SnowflakeSettings(BaseSettings):
    """How to reach Snowflake, and as whom; the environment variable is SNOWFLAKE_ and the field's name.

    Without an account, account, user and credentials come from Airflow's connection `snowflake_default`.
    """

    model_config = SettingsConfigDict(
        env_prefix="SNOWFLAKE_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # an error would show the secrets
    )

    account: str | None = Field(
        None, description="Account identifier (organisation-account); unset: Airflow's connection is used."
    )
    user: str | None = Field(None, description="Name of the service user.")
    private_key_path: Path | None = Field(None, description="PEM file of the user's private key (PKCS 8).")
    private_key_passphrase: SecretStr | None = Field(None, description="Passphrase of the private key.")
    password: SecretStr | None = Field(
        None, description="Password, for trials only; a private key is preferred."
    )
    transformer_role: str = Field(
        "TRANSFORMER", validation_alias="SNOWFLAKE_ROLE", description="Role of dbt, training and reseeding."
    )
    transformer_warehouse: str = Field(
        "TRANSFORMING", validation_alias="SNOWFLAKE_WAREHOUSE", description="Virtual warehouse of the same."
    )
    loader_role: str = Field("LOADER", description="Role that loads files and streams.")
    loader_warehouse: str = Field("LOADING", description="Virtual warehouse of the same.")
    database: str = Field(
        SNOWFLAKE_DATABASE, description="Database of all schemas; unset: that of the connection, if any."
    )
    statement_timeout_seconds: int = Field(
        3600, gt=0, description="A statement that takes longer is cancelled; 604800, a week, is the most."
    )
    host: str | None = Field(None, description="Host name where it does not follow from the account.")
    port: int | None = Field(None, gt=0, lt=65536, description="Port; default 443.")
    protocol: str | None = Field(None, description="http for a test double; default https.")

    def database_of(self, connection: str | None) -> str:
        """Return the database to use where a connection may name one: what is set here comes first."""
        return self.database if "database" in self.model_fields_set or not connection else connection

    def endpoint(self) -> dict[str, Any]:
        """Return host, port and protocol where they are set: for the connector and for dbt alike."""
        found = {"host": self.host, "port": self.port, "protocol": self.protocol}
        return {name: value for name, value in found.items() if value is not None}


def uses_airflow_connection(settings: Settings) -> bool:
    """Return whether Airflow's connection leads to the warehouse: on Snowflake without SNOWFLAKE_ACCOUNT."""
    return settings.warehouse == "snowflake" and not SnowflakeSettings().account


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; raises pydantic.ValidationError that names the bad variable."""
    return Settings()
