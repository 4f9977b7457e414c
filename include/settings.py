"""Every setting of the product, read from the environment once, with its default and its meaning."""

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DBT_PROJECT_DIR = PROJECT_ROOT / "include" / "dbt"
SNOWFLAKE_CONNECTION = "snowflake_default"  # of Airflow
SNOWFLAKE_DATABASE = "MARKETING_INSIGHTS_DB"


class SettingsError(ValueError):
    """Settings cannot be used; the message has a sentence for each, with its variable, and no value."""


class EnvironmentSettings(BaseSettings):
    """Settings read from the environment; what cannot be used raises SettingsError."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,  # an error would show a secret
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            # A default that follows from another setting is no fault of its own.
            faults = [one for one in error.errors() if one["type"] != "default_factory_not_called"]
            raise SettingsError(" ".join(map(self._sentence, faults))) from None

    @classmethod
    def _sentence(cls, fault: Any) -> str:
        """Return pydantic's finding as a sentence that names the variable."""
        said = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not fault["loc"]:  # of several settings, which it names
            return f"{said}."
        name = str(fault["loc"][0])
        variable = f"{cls.model_config.get('env_prefix', '')}{name}" if name in cls.model_fields else name
        said = f"it {said}" if fault["msg"].startswith("Input ") else said
        return f"The setting {variable.upper()} cannot be used: {said}."


def run_command(command: Callable[[], Any]) -> NoReturn:
    """Run a program's command line and exit; a setting that cannot be used is a sentence and exit code 2."""
    try:
        sys.exit(command())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


class Settings(EnvironmentSettings):
    """Settings of the batch product; the environment variable is the field's name in upper case."""

    local_dir: Path = Field(
        PROJECT_ROOT / ".local", description="Folder of all run-time state on this machine."
    )
    warehouse: Literal["duckdb", "snowflake"] = Field(
        "duckdb", description="Warehouse that holds all tables."
    )
    duckdb_path: Path = Field(
        Path(),
        description="DuckDB file; default: warehouse/marketing_insights.duckdb in LOCAL_DIR.",
        validate_default=True,
    )
    duckdb_build_memory: str = Field(
        "80%",
        description="Memory that DuckDB may take while dbt builds, as 3500MB; what needs more goes to disk.",
    )
    source_location: str = Field(
        "",
        description="Folder or object-store URI (s3://conn_id@bucket/path) that holds the shop's files.",
    )
    source_timeout_seconds: float = Field(
        900, gt=0, description="Longest that an object store may take to list the files or to deliver one."
    )
    source_locations: str = Field(
        "",
        description="Folders and URIs that a run's source_location may lie in, comma-separated; default:"
        " SOURCE_LOCATION.",
    )
    source_max_unpacked_mb: int = Field(
        4096, gt=0, description="Largest size, in megabytes, that a gzip file may unpack to."
    )
    source_max_workbook_mb: int = Field(
        512,
        gt=0,
        description="The same of an XLSX workbook, whose texts are held in memory.",
    )
    source_max_ratio: int = Field(
        200, gt=0, description="Largest ratio of the two sizes, for files that unpack to more than 50 MB."
    )
    pipeline_schedule: str = Field(
        "0 0 * * *",
        description="Cron of marketing_pipeline, UTC; its data intervals follow from it. 'none': manual.",
    )
    streaming_schedule: str = Field(
        "0 * * * *",
        description="Cron of streaming_marts, UTC; the marts are hourly. 'none': manual.",
    )
    retraining_schedule: str = Field(
        "0 3 * * 0",
        description="Cron of segment_retraining, UTC, besides each update of fct_sales. 'none': only those.",
    )
    segments_seed_file: Path = Field(
        DBT_PROJECT_DIR / "seeds" / "customer_segments.csv",
        description="File that training writes the segments in use to, for a manual dbt seed.",
    )
    insights_location: str = Field(
        "",
        description="Folder or object-store URI of the snapshots that page and report read; default: insights"
        " in LOCAL_DIR.",
    )
    insights_snapshots: int = Field(
        7, gt=1, description="Snapshots that are kept; the next one removes an older one."
    )
    max_rejected_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="A dbt test fails if a larger share of a data set's rows is in quarantine.",
    )
    max_price_age_minutes: int = Field(
        60, gt=0, description="The gate of streaming_marts fails if no price was stored for longer than this."
    )
    max_news_age_minutes: int = Field(
        1440,
        gt=0,
        description="The gate fails if no news event was stored for longer; at night none come for hours.",
    )
    max_stream_lag: int = Field(
        10_000,
        ge=0,
        description="The gate of streaming_marts fails at a higher consumer lag of a topic, in messages.",
    )
    backups: int = Field(
        7, gt=0, description="Backups that are kept on this machine; the next one removes an older one."
    )
    airflow_port: int = Field(
        8080, gt=0, lt=65536, description="Port of the Airflow UI and API on this machine."
    )
    feeds: Literal["simulator", "live", "none"] = Field(
        "simulator",
        description="Feeds of the local stack: simulated, the real APIs, or no streaming at all.",
    )
    simulator_port: int = Field(
        8094, gt=0, lt=65536, description="Port of the feed simulator on this machine."
    )
    kafka_port: int = Field(
        9092,
        gt=0,
        lt=65535,
        description="Port of the local Kafka broker; its controller listens on the next one.",
    )
    run_results_days: int = Field(
        365, gt=0, description="`make retention` deletes dbt's run results that are older."
    )
    log_days: int = Field(90, gt=0, description="`make retention` deletes log files that are older.")
    registry_days: int = Field(
        730,
        gt=0,
        description="`make retention` deletes older model versions, not the one in use and the one before.",
    )
    alert_after_minutes: int = Field(
        60,
        gt=0,
        description="A run that takes longer raises an alert of the kind deadline_missed and goes on.",
    )
    alert_webhook_url: SecretStr | None = Field(
        None, description="Receives each alert as a POST of a JSON object."
    )
    alert_slack_webhook_url: SecretStr | None = Field(
        None, description="Receives each alert as a Slack message: an incoming webhook or a compatible one."
    )
    heartbeat_url: SecretStr | None = Field(
        None,
        description="Each successful run gets this address, {dag_id} filled in: a dead-man's switch.",
    )
    alert_email_to: str = Field(
        "",
        description="Recipients of each alert, comma-separated; sent through the connection smtp_default.",
    )

    alert_include_reason: bool = Field(
        False,
        description="Alerts that go out also say why, without quoted text, addresses, paths and numbers.",
    )
    alert_include_insights: bool = Field(
        False,
        description="Alerts that go out also lead to the Insights page, where it says what can be trusted.",
    )

    insights_currency: str = Field(
        "",
        max_length=3,
        description="Currency written behind amounts, as in EUR; the shop's files name none.",
    )
    insights_email_to: str = Field(
        "",
        description="Recipients of the report, comma-separated; sent through the connection smtp_default.",
    )
    audiences_files: str = Field(
        "",
        description="Files of audiences that the DAG writes: generic, klaviyo, mailchimp, google-ads;"
        " default: none.",
    )
    audiences_webhook_url: SecretStr | None = Field(
        None, description="Receives who entered and who left each audience, as signed messages."
    )
    audiences_webhook_secret: SecretStr | None = Field(
        None, description="Signs those messages: whsec_ and 24 to 64 bytes in base64."
    )

    @field_validator("heartbeat_url")
    @classmethod
    def _one_address_for_each_dag(cls, value: SecretStr | None) -> SecretStr | None:
        if value and "{dag_id}" not in value.get_secret_value():
            raise ValueError("it must contain {dag_id}, or one DAG's success hides that another is silent")
        return value

    @field_validator("local_dir")
    @classmethod
    def _from_project_root(cls, value: Path) -> Path:
        return PROJECT_ROOT / value.expanduser()

    @field_validator("duckdb_build_memory")
    @classmethod
    def _amount_of_memory(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d*(\.\d+)? ?([KMGT]i?B|%)", value):
            raise ValueError("it should be an amount of memory, such as 3500MB or 50%")
        return value

    @field_validator("duckdb_path")
    @classmethod
    def _default_in_local_dir(cls, value: Path, info: ValidationInfo) -> Path:
        if value == Path():
            return Path(info.data["local_dir"]) / "warehouse" / "marketing_insights.duckdb"
        return PROJECT_ROOT / value.expanduser()


class SnowflakeSettings(EnvironmentSettings):
    """How to reach Snowflake, and as whom; the environment variable is SNOWFLAKE_ and the field's name.

    Without an account, account, user and credentials come from Airflow's connection `snowflake_default`.
    """

    model_config = SettingsConfigDict(env_prefix="SNOWFLAKE_")

    account: str | None = Field(
        None, description="Account identifier (organisation-account); unset: Airflow's connection is used."
    )
    user: str | None = Field(None, description="Name of the service user.")
    private_key_path: Path | None = Field(None, description="PEM file of the user's private key (PKCS 8).")
    private_key_passphrase: SecretStr | None = Field(None, description="Passphrase of the private key.")
    password: SecretStr | None = Field(
        None, description="Password, for trials; ignored if a private key is set."
    )
    transformer_role: str = Field(
        "TRANSFORMER", validation_alias="SNOWFLAKE_ROLE", description="Role of dbt, training and reseeding."
    )
    transformer_warehouse: str = Field(
        "TRANSFORMING", validation_alias="SNOWFLAKE_WAREHOUSE", description="Virtual warehouse of that role."
    )
    loader_role: str = Field("LOADER", description="Role that loads files.")
    loader_warehouse: str = Field("LOADING", description="Virtual warehouse of that role.")
    streamer_role: str = Field("STREAMER", description="Role of the consumer: the schema streaming alone.")
    streamer_warehouse: str = Field("STREAMING", description="Virtual warehouse of that role.")
    database: str = Field(
        SNOWFLAKE_DATABASE,
        description="Database of all schemas; unset: the one in Airflow's connection, if it names one.",
    )
    statement_timeout_seconds: int = Field(
        3600, gt=0, description="Snowflake cancels a statement that takes longer; maximum 604800, a week."
    )
    host: str | None = Field(None, description="Host name; default: derived from the account.")
    port: int | None = Field(None, gt=0, lt=65536, description="Port; default 443.")
    protocol: str | None = Field(None, description="Protocol, for a test double; default https.")

    def role_and_warehouse(self, role: Literal["loader", "streamer", "transformer"]) -> tuple[str, str]:
        """Return the names of a role and of its virtual warehouse."""
        return getattr(self, f"{role}_role"), getattr(self, f"{role}_warehouse")

    def database_of(self, connection: str | None) -> str:
        """Return the database to use: the one set here, else the connection's, else the default."""
        return self.database if "database" in self.model_fields_set or not connection else connection

    def endpoint(self) -> dict[str, Any]:
        """Return host, port and protocol where they are set: for the connector and for dbt alike."""
        found = {"host": self.host, "port": self.port, "protocol": self.protocol}
        return {name: value for name, value in found.items() if value is not None}


def uses_airflow_connection(settings: Settings) -> bool:
    """Return whether credentials come from Airflow's connection: on Snowflake without SNOWFLAKE_ACCOUNT."""
    return settings.warehouse == "snowflake" and not SnowflakeSettings().account


@lru_cache
def get_settings() -> Settings:
    """Return the process's settings; raises SettingsError that names the bad variable."""
    return Settings()
