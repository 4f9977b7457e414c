"""Whether loader, streamer and transformer have every privilege on Snowflake that the product needs.

It needs no further rights, and no virtual warehouse has to start for it.
"""

import math
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from snowflake.connector import DictCursor
from snowflake.connector.errors import ProgrammingError

from include.settings import SnowflakeSettings
from include.warehouse.base import Finding, Role
from include.warehouse.snowflake import LOCK_TIMEOUT_SECONDS, connected

STREAM_TABLES = ("BITCOIN_PRICES_RAW", "NEWS_EVENTS_RAW", "KAFKA_OFFSETS")
TABLES_OF_DBT = ("RAW", "STREAMING", "STAGING", "ANALYTICS", "SNAPSHOTS", "TEST_FAILURES")
VIEWS_OF_DBT = ("STREAMING", "STAGING", "ANALYTICS")
HOURS_A_MONTH = 730
SECONDS_AWAKE = 75  # of a batch: a second or two of work, then a minute until the warehouse sleeps
# Credits a month on XSMALL (a credit an hour) with the default schedules: five files a day; an hourly, a
# daily and the retraining run, some minutes each.
EXPECTED_CREDITS = {"loader": 5.0, "transformer": 65.0}


class Privilege(NamedTuple):
    """What may be done with what, in Snowflake's words: USAGE, SCHEMA, MARKETING_INSIGHTS_DB.RAW."""

    name: str
    kind: str
    target: str


@dataclass(frozen=True)
class Connected:
    """A session of a role: the roles that it holds (itself among them) and all that they may do."""

    role: str
    database: str
    connection: Any
    roles: frozenset[str]
    privileges: frozenset[Privilege]

    def may(self, wanted: Privilege) -> bool:
        """Return whether the role has the privilege; an owner has all."""
        return not self.privileges.isdisjoint({wanted, wanted._replace(name="OWNERSHIP")})

    def tables(self, schema: str) -> set[str]:
        """Return the names of the tables in the schema that the role knows of."""
        prefix = f"{self.database}.{schema}."
        return {p.target for p in self.privileges if p.kind == "TABLE" and p.target.startswith(prefix)}


def check_privileges() -> list[Finding]:
    """Return a finding for each thing that the three roles need. Raises NotReachableError."""
    settings = SnowflakeSettings()
    with (
        _connected("loader") as loader,
        _connected("streamer") as streamer,
        _connected("transformer") as transformer,
    ):
        database = loader.database
        return [
            Finding(loader.role, f"connects to {database}", ok=True),
            *_granted(loader, Privilege("USAGE", "WAREHOUSE", settings.loader_warehouse.upper())),
            *_granted(loader, Privilege("USAGE", "DATABASE", database)),
            *_on_schemas(loader, ["RAW"], "USAGE", "CREATE TABLE", "CREATE STAGE"),
            *_quota(loader, settings.loader_warehouse, EXPECTED_CREDITS["loader"]),
            Finding(streamer.role, f"connects to {database}", ok=True),
            *_granted(streamer, Privilege("USAGE", "WAREHOUSE", settings.streamer_warehouse.upper())),
            *_granted(streamer, Privilege("USAGE", "DATABASE", database)),
            *_on_schemas(streamer, ["STREAMING"], "USAGE", "CREATE TABLE", "CREATE PIPE"),
            *_quota(streamer, settings.streamer_warehouse, _credits_of_the_consumer()),
            *_owned(streamer, transformer),
            *_readable(streamer, transformer, "STREAMING"),
            Finding(transformer.role, f"connects to {database}", ok=True),
            *_granted(transformer, Privilege("USAGE", "WAREHOUSE", settings.transformer_warehouse.upper())),
            *_granted(transformer, Privilege("USAGE", "DATABASE", database)),
            *_quota(transformer, settings.transformer_warehouse, EXPECTED_CREDITS["transformer"]),
            *_lock_timeout(transformer),
            *_on_schemas(transformer, TABLES_OF_DBT, "USAGE", "CREATE TABLE"),
            *_on_schemas(transformer, VIEWS_OF_DBT, "CREATE VIEW"),
            *_readable(transformer, loader, "RAW"),
            *_readable(transformer, streamer, "STREAMING"),
        ]


def _granted(session: Connected, wanted: Privilege) -> Iterator[Finding]:
    yield Finding(
        session.role,
        f"{wanted.name} on {wanted.kind.lower()} {wanted.target}",
        session.may(wanted),
        f"grant {wanted.name.lower()} on {wanted.kind.lower()} {wanted.target} to role {session.role}",
    )


def _credits_of_the_consumer() -> float:
    """Return the credits of a month in which events come all the time and each batch wakes the warehouse."""
    batch_seconds = float(os.environ.get("CONSUMER_BATCH_SECONDS") or 300)
    return HOURS_A_MONTH * min(1.0, SECONDS_AWAKE / batch_seconds)


def _quota(session: Connected, virtual_warehouse: str, expected: float) -> Iterator[Finding]:
    """Yield whether the warehouse's resource monitor, as the bootstrap names it, has room for its work."""
    monitor = f"MARKETING_{virtual_warehouse.upper()}"
    wanted = Privilege("MONITOR", "RESOURCE MONITOR", monitor)
    yield from _granted(session, wanted)
    if session.may(wanted):
        [row] = _rows(session.connection, f"show resource monitors like '{monitor}'")
        quota = float(row["credit_quota"])
        yield Finding(
            session.role,
            f"a quota of {quota:.0f} credits a month, of which its work takes about {expected:.0f}",
            quota >= expected,
            f"alter resource monitor {monitor} set credit_quota = {math.ceil(expected * 4 / 3)}",
        )


def _lock_timeout(session: Connected) -> Iterator[Finding]:
    """Yield whether the user's sessions give up waiting for a lock: dbt's own set nothing."""
    [row] = _rows(session.connection, "show parameters like 'LOCK_TIMEOUT' in user")
    seconds = int(row["value"])
    yield Finding(
        session.role,
        f"dbt waits {seconds} s for a lock, no longer than {LOCK_TIMEOUT_SECONDS}",
        seconds <= LOCK_TIMEOUT_SECONDS,
        f"alter user {session.connection.user} set lock_timeout = {LOCK_TIMEOUT_SECONDS}"
        " abort_detached_query = true",
    )


def _on_schemas(session: Connected, schemas: Iterable[str], *privileges: str) -> Iterator[Finding]:
    for schema in schemas:
        for name in privileges:
            yield from _granted(session, Privilege(name, "SCHEMA", f"{session.database}.{schema}"))


def _owned(streamer: Connected, transformer: Connected) -> Iterator[Finding]:
    """Yield whether the streamer owns the streams' tables; what is not there yet, it will make."""
    for name in STREAM_TABLES:
        table = f"{streamer.database}.STREAMING.{name}"
        if table in streamer.tables("STREAMING") | transformer.tables("STREAMING"):
            yield Finding(
                streamer.role,
                f"OWNERSHIP of table {table}",
                streamer.may(Privilege("OWNERSHIP", "TABLE", table)),
                f"grant ownership on table {table} to role {streamer.role} copy current grants",
            )


def _readable(reader: Connected, owner: Connected, schema: str) -> Iterator[Finding]:
    """Yield whether the reader may read the owner's tables in the schema: those there, and those to come."""
    name = f"{reader.database}.{schema}"
    owned = {
        table for table in owner.tables(schema) if Privilege("OWNERSHIP", "TABLE", table) in owner.privileges
    }
    unread = sorted(table for table in owned if not reader.may(Privilege("SELECT", "TABLE", table)))
    yield Finding(
        reader.role,
        f"SELECT on all tables of {owner.role} in schema {name}"
        + (f", not on {unread[0]}" if unread else ""),
        not unread,
        f"grant select on all tables in schema {name} to role {reader.role}",
    )
    yield Finding(
        reader.role,
        f"SELECT on future tables of {owner.role} in schema {name}",
        not reader.roles.isdisjoint(_readers_of_a_new_table(owner, name)),
        f"grant select on future tables in schema {name} to role {reader.role}",
    )


def _readers_of_a_new_table(owner: Connected, schema: str) -> set[str]:
    """Create an empty table, ask who may read it, and drop it: only administrators see future grants."""
    table = f"{schema}.CHECK_{uuid.uuid4().hex}".upper()
    try:
        _rows(owner.connection, f"create transient table {table} (n integer)")
    except ProgrammingError:
        return set()  # CREATE TABLE is missing, which has a line of its own
    try:
        grants = _rows(owner.connection, f"show grants on table {table}")
    finally:
        _rows(owner.connection, f"drop table {table}")
    return {row["grantee_name"] for row in grants if row["privilege"] in {"SELECT", "OWNERSHIP"}}


@contextmanager
def _connected(role: Role) -> Iterator[Connected]:
    name = SnowflakeSettings().role_and_warehouse(role)[0].upper()
    opened, database = connected(role)
    with closing(opened) as connection:
        roles, privileges = _held(connection, name)
        yield Connected(name, database.upper(), connection, roles, privileges)


def _held(connection: Any, role: str) -> tuple[frozenset[str], frozenset[Privilege]]:
    """Return the role with those that were granted to it, and what all of them may do."""
    roles, ahead, privileges = set(), [role], set()
    while ahead:
        roles.add(one := ahead.pop())
        for row in _rows(connection, f"show grants to role {one}"):
            if row["granted_on"] != "ROLE":
                kind = row["granted_on"].replace("_", " ")
                privileges.add(Privilege(row["privilege"], kind, row["name"]))
            elif row["privilege"] == "USAGE" and row["name"] not in roles:
                ahead.append(row["name"])
    return frozenset(roles), frozenset(privileges)


def _rows(connection: Any, sql: str) -> list[dict[str, Any]]:
    with connection.cursor(DictCursor) as cursor:
        return list(cursor.execute(sql).fetchall())
