"""How dbt reaches the warehouse when Airflow starts it."""

from functools import cached_property
from typing import Any

import yaml
from cosmos import ProfileConfig
from cosmos.profiles import (
    BaseProfileMapping,
    SnowflakeEncryptedPrivateKeyFilePemProfileMapping,
    SnowflakeEncryptedPrivateKeyPemProfileMapping,
    SnowflakePrivateKeyFilePemProfileMapping,
    SnowflakePrivateKeyPemProfileMapping,
    SnowflakeUserPasswordProfileMapping,
)
from typing_extensions import override

from include.orchestration.dbt_manifest import PROFILE
from include.settings import (
    DBT_PROJECT_DIR,
    SNOWFLAKE_CONNECTION,
    Settings,
    SnowflakeSettings,
    uses_airflow_connection,
)

PROFILES = DBT_PROJECT_DIR / "profiles.yml"


def dbt_profile(settings: Settings) -> ProfileConfig:
    """Return how dbt reaches the warehouse: profiles.yml, or on Snowflake Airflow's connection.

    The connection is read when dbt starts: DAGs are parsed without it.
    """
    target = settings.warehouse
    if uses_airflow_connection(settings):
        mapping = SnowflakeConnection(SNOWFLAKE_CONNECTION, SnowflakeSettings())
        return ProfileConfig(PROFILE, target, profile_mapping=mapping)
    return ProfileConfig(PROFILE, target, profiles_yml_filepath=PROFILES)


class SnowflakeConnection(BaseProfileMapping):
    """A Snowflake connection as dbt's profile, whichever credentials it holds.

    Cosmos has a mapping for each kind of credentials and asks the connection which one fits: here when dbt
    starts.
    """

    airflow_connection_type = "snowflake"
    dbt_profile_type = "snowflake"
    kinds: tuple[type[BaseProfileMapping], ...] = (
        SnowflakeEncryptedPrivateKeyFilePemProfileMapping,
        SnowflakeEncryptedPrivateKeyPemProfileMapping,
        SnowflakePrivateKeyFilePemProfileMapping,
        SnowflakePrivateKeyPemProfileMapping,
        SnowflakeUserPasswordProfileMapping,
    )

    def __init__(self, conn_id: str, snowflake: SnowflakeSettings) -> None:
        """Take role and warehouse from `snowflake`, and what is no secret from profiles.yml."""
        self._settings = snowflake
        profiles = yaml.safe_load(PROFILES.read_text(encoding="utf-8"))
        target = profiles[PROFILE]["outputs"]["snowflake"]
        super().__init__(
            conn_id,
            {
                **{name: target[name] for name in ("schema", "threads", "reuse_connections", "query_tag")},
                "role": snowflake.transformer_role,
                "warehouse": snowflake.transformer_warehouse,
                **snowflake.endpoint(),
            },
        )

    @cached_property
    def _fitting(self) -> BaseProfileMapping:
        """Return Cosmos's mapping for this connection; raises ValueError where it has no credentials."""
        database = self._settings.database_of(self.conn.extra_dejson.get("database"))
        for kind in self.kinds:
            mapping = kind(self.conn_id, {**self.profile_args, "database": database})
            if mapping.can_claim_connection():
                return mapping
        raise ValueError(
            f"The Airflow connection {self.conn_id} needs conn_type snowflake, a login, an account, and"
            " a private key (private_key_file, or private_key_content in base64) or, for trials, a password."
        )

    @property
    @override
    def profile(self) -> dict[str, Any]:
        return dict(self._fitting.profile)

    @property
    @override
    def env_vars(self) -> dict[str, str]:
        """The secrets, which the profile's file only names."""
        return dict(self._fitting.env_vars)
