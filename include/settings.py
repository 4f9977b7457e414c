"""Every setting of the product, read from the environment once, with its default and its meaning."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "include" / "dbt"


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


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; raises pydantic.ValidationError that names the bad variable."""
    return Settings()
