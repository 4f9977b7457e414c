"""Roles and privileges for the Snowflake double, which fakesnow has none of.

`install()` teaches fakesnow's server to keep roles, grants, future grants and owners, to answer SHOW GRANTS,
and to refuse what the session's role may not do. Roles that nobody created (ACCOUNTADMIN and the like, or
whatever a test connects with) may do everything, so a test without a bootstrap sees nothing of this.

As in Snowflake: who creates an object owns it; a new object takes on future grants; CREATE … IF NOT EXISTS
asks for the privilege although the object is there; a view asks for nothing of the tables behind it. Left
out: database roles, secondary roles, managed schemas, masking, grant options.
"""

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import fakesnow.server as fs_server
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp
from starlette.requests import Request
from starlette.responses import JSONResponse

NAME = r'["\w$.]+'
GRANT = re.compile(
    r"(?P<verb>grant|revoke)\s+(?P<privileges>[\w\s,]+?)\s+on\s+(?:(?P<scope>all|future)\s+)?"
    rf"(?P<kind>[a-z ]+?)\s+(?:in\s+schema\s+)?(?P<name>{NAME})\s+(?:to|from)\s+role\s+(?P<role>{NAME})",
    re.IGNORECASE,
)
GRANT_ROLE = re.compile(
    rf"(?P<verb>grant|revoke)\s+role\s+(?P<granted>{NAME})\s+(?:to|from)\s+(?P<kind>role|user)\s+(?P<name>{NAME})",
    re.IGNORECASE,
)
CREATE = re.compile(
    rf"(?P<verb>create|drop)\s+(?P<kind>role|user)\s+(?:if\s+(?:not\s+)?exists\s+)?(?P<name>{NAME})",
    re.IGNORECASE,
)
USE_ROLE = re.compile(rf"use\s+role\s+(?P<name>{NAME})", re.IGNORECASE)
SHOW_GRANTS = re.compile(
    rf"show\s+grants\s+(?:(?P<to>to\s+role)|on\s+(?P<kind>[a-z ]+?))\s+(?P<name>{NAME})\s*;?\s*$",
    re.IGNORECASE,
)
MONITOR = re.compile(
    rf"(?:create|alter)\s+resource\s+monitor\s+(?P<kept>if\s+not\s+exists\s+)?(?P<name>{NAME})"
    r"\s+(?:with|set)\s+credit_quota\s*=\s*(?P<quota>\d+)",
    re.IGNORECASE,
)
SHOW_MONITORS = re.compile(r"show\s+resource\s+monitors\s+like\s+'(?P<name>\w+)'", re.IGNORECASE)
LOCK_TIMEOUT = re.compile(
    rf"alter\s+user\s+(?P<name>{NAME})\s+set\s[^;]*\block_timeout\s*=\s*(?P<seconds>\d+)", re.IGNORECASE
)
SHOW_LOCK_TIMEOUT = re.compile(r"show\s+parameters\s+like\s+'LOCK_TIMEOUT'\s+in\s+user", re.IGNORECASE)
HALF_A_DAY = 43_200  # Snowflake's default
COMMENTS = re.compile(r"\A(?:\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
RELATIONS = ("TABLE", "VIEW")
NEEDS_OWNERSHIP = (exp.Drop, exp.Alter, exp.Comment, exp.TruncateTable)
CHANGING = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy, exp.Create, exp.Alter, exp.Comment)
COMPUTING = (exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy)
READING = (exp.Query, exp.Create, exp.Insert, exp.Update, exp.Delete, exp.Merge)
DONE = "select 'Statement executed successfully.' as status"


class Grant(NamedTuple):
    """A privilege on an object; of a future grant `name` is the schema."""

    role: str
    privilege: str
    kind: str
    name: str


@dataclass
class AccessControl:
    """What one account knows of roles."""

    roles: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    members: set[tuple[str, str, str]] = field(default_factory=set)  # (role, ROLE or USER, to whom)
    grants: set[Grant] = field(default_factory=set)
    future: set[Grant] = field(default_factory=set)
    quotas: dict[str, int] = field(default_factory=dict)
    lock_timeouts: dict[str, int] = field(default_factory=dict)  # seconds, of users

    def run(self, command: str, session: dict[str, Any], connection: FakeSnowflakeConnection) -> str:
        """Return what to run instead of a statement on roles; any other as it is."""
        text = command[COMMENTS.match(command).end() :]  # type: ignore[union-attr]
        if found := SHOW_GRANTS.match(text):
            return self._show(found, connection)
        if found := SHOW_MONITORS.match(text):
            name = _upper(found["name"])
            return f"""select '{name}' as "name", '{self.quotas[name]}' as "credit_quota" """
        if SHOW_LOCK_TIMEOUT.match(text):
            seconds = self.lock_timeouts.get(session.get("user", ""), HALF_A_DAY)
            return f"""select 'LOCK_TIMEOUT' as "key", '{seconds}' as "value" """
        if found := USE_ROLE.match(text):
            session["role"] = _upper(found["name"])
        elif found := GRANT_ROLE.match(text):
            entry = (_upper(found["granted"]), found["kind"].upper(), _upper(found["name"]))
            self.members.add(entry) if found["verb"].lower() == "grant" else self.members.discard(entry)
        elif found := MONITOR.match(text):
            keep = self.quotas.setdefault if found["kept"] else self.quotas.__setitem__
            keep(_upper(found["name"]), int(found["quota"]))
        elif found := LOCK_TIMEOUT.match(text):
            self.lock_timeouts[_upper(found["name"])] = int(found["seconds"])
        elif found := GRANT.match(text):
            self._grant(found)
        elif found := CREATE.match(text):
            self._create(found)
        else:
            return command
        return DONE

    def may_connect(self, user: str, role: str) -> bool:
        """Return whether the user has the role; a user or role that nobody created may do anything."""
        if role not in self.roles or user not in self.users:
            return True
        return any((held, "USER", user) in self.members for held in {role, *self._holders(role)})

    def check(
        self, expression: exp.Expr, session: dict[str, Any], connection: FakeSnowflakeConnection
    ) -> None:
        """Raise ProgrammingError where the session's role may not run the statement; note who owns what."""
        role = session.get("role", "")
        if role in self.roles:
            self._check(expression, role, session, connection)
        if isinstance(expression, exp.Drop) and (target := _target(expression)):
            dropped = _full_name(target, connection)
            self.grants = {grant for grant in self.grants if grant.name != dropped}

    def _check(
        self, expression: exp.Expr, role: str, session: dict[str, Any], connection: FakeSnowflakeConnection
    ) -> None:
        needed = list(_needed(expression, connection))
        if needed and isinstance(expression, COMPUTING):
            needed.append(("USAGE", "WAREHOUSE", session["warehouse"]))
        for privilege, kind, name in needed:
            self._require(role, privilege, kind, name)
        if isinstance(expression, exp.Create):
            self._own(expression, role, connection)

    def _require(self, role: str, privilege: str, kind: str, name: str) -> None:
        known = any(grant.name == name for grant in self.grants)
        if privilege == "OWNERSHIP" and not known:
            return  # DROP … IF EXISTS of what is not there
        if self._has(role, privilege, kind, name):
            return
        if not known:
            message = f"SQL compilation error:\nObject '{name}' does not exist or not authorized."
            raise ProgrammingError(msg=message, errno=2003, sqlstate="02000")
        message = f"Insufficient privileges to operate on {kind.lower()} '{name}': {role} lacks {privilege}"
        raise ProgrammingError(msg=f"SQL access control error:\n{message}", errno=3001, sqlstate="42501")

    def _has(self, role: str, privilege: str, kind: str, name: str) -> bool:
        kinds = RELATIONS if kind in RELATIONS else (kind,)
        return any(
            Grant(held, wanted, one, name) in self.grants
            for held in self._held(role)
            for wanted in (privilege, "OWNERSHIP")
            for one in kinds
        )

    def _held(self, role: str) -> set[str]:
        """Return the role and those granted to it."""
        held = {role}
        while more := {low for low, kind, high in self.members if kind == "ROLE" and high in held} - held:
            held |= more
        return held

    def _holders(self, role: str) -> set[str]:
        return {one for one in self.roles if role in self._held(one)}

    def _own(self, create: exp.Create, role: str, connection: FakeSnowflakeConnection) -> None:
        kind, name = _created(create, connection)
        exists = any(grant.name == name and grant.privilege == "OWNERSHIP" for grant in self.grants)
        if exists and not create.args.get("replace"):
            return
        self.grants = {grant for grant in self.grants if grant.name != name}
        self.grants.add(Grant(role, "OWNERSHIP", kind, name))
        schema = name.rpartition(".")[0]
        self.grants |= {
            grant._replace(name=name) for grant in self.future if (grant.kind, grant.name) == (kind, schema)
        }

    def _grant(self, found: re.Match[str]) -> None:
        kind, name, role = found["kind"].upper(), _upper(found["name"]), _upper(found["role"])
        scope = (found["scope"] or "").upper()
        if scope:
            kind = kind.removesuffix(" IN SCHEMA").removesuffix("S")
        privileges = {" ".join(one.split()).upper() for one in found["privileges"].split(",")}
        wanted = {Grant(role, privilege, kind, name) for privilege in privileges}
        if scope == "ALL":
            owned = {g.name for g in self.grants if g.kind == kind and g.name.rpartition(".")[0] == name}
            wanted = {grant._replace(name=one) for grant in wanted for one in owned}
        if (moved := {g.name for g in wanted if g.privilege == "OWNERSHIP"}) and found[
            "verb"
        ].lower() == "grant":
            self.grants = {g for g in self.grants if g.privilege != "OWNERSHIP" or g.name not in moved}
        target = self.future if scope == "FUTURE" else self.grants
        (target.update if found["verb"].lower() == "grant" else target.difference_update)(wanted)

    def _create(self, found: re.Match[str]) -> None:
        kept = self.roles if found["kind"].lower() == "role" else self.users
        name = _upper(found["name"])
        if found["verb"].lower() == "create":
            kept.add(name)
            return
        kept.discard(name)
        self.grants = {grant for grant in self.grants if grant.role != name}
        self.future = {grant for grant in self.future if grant.role != name}
        self.members = {member for member in self.members if name not in (member[0], member[2])}

    def _show(self, found: re.Match[str], connection: FakeSnowflakeConnection) -> str:
        name = _upper(found["name"])
        if found["to"]:
            shown = {grant for grant in self.grants if grant.role == name}
            shown |= {
                Grant(name, "USAGE", "ROLE", low)
                for low, kind, high in self.members
                if (kind, high) == ("ROLE", name)
            }
        else:
            full = ".".join([connection.database or "", *name.split(".")][-3:])
            shown = {
                grant
                for grant in self.grants
                if grant.name in {name, full} and grant.kind == found["kind"].upper()
            }
        rows = [
            f"""select current_timestamp() as "created_on", '{one.privilege}' as "privilege",
            '{one.kind}' as "granted_on", '{one.name}' as "name", 'ROLE' as "granted_to",
            '{one.role}' as "grantee_name", 'false' as "grant_option", 'SYSADMIN' as "granted_by" """
            for one in sorted(shown) or [Grant("", "", "", "")]
        ]
        return " union all ".join(rows) + ("" if shown else " limit 0")


def _needed(expression: exp.Expr, connection: FakeSnowflakeConnection) -> Iterator[tuple[str, str, str]]:
    """Yield the privileges that a statement asks for, each with the kind and name of its object."""
    target = _target(expression)
    if isinstance(expression, exp.Create):
        kind, name = _created(expression, connection)
        schema = name.rpartition(".")[0]
        temporary = expression.find(exp.TemporaryProperty)
        if not temporary:
            yield f"CREATE {kind}", "DATABASE" if kind == "SCHEMA" else "SCHEMA", schema
        if expression.args.get("replace"):
            yield "OWNERSHIP", kind, name
    elif isinstance(expression, NEEDS_OWNERSHIP) and target is not None:
        yield "OWNERSHIP", "TABLE", _full_name(target, connection)
    elif target is not None:
        for privilege in _written(expression):
            yield privilege, "TABLE", _full_name(target, connection)
    for table in _read(expression, target):
        full = _full_name(table, connection)
        database, schema, _ = full.split(".", 2)
        yield "USAGE", "DATABASE", database
        yield "USAGE", "SCHEMA", f"{database}.{schema}"
        yield "SELECT", "TABLE", full


def _target(expression: exp.Expr) -> exp.Table | None:
    """Return the table that a statement changes."""
    if isinstance(expression, exp.TruncateTable):
        return expression.expressions[0]
    if isinstance(expression, exp.Drop):
        return next(iter(expression.args.get("tables") or [expression.this]))
    if not isinstance(expression, CHANGING):
        return None
    found = expression.this.this if isinstance(expression.this, exp.Schema) else expression.this
    return found if isinstance(found, exp.Table) else None


def _written(expression: exp.Expr) -> set[str]:
    if isinstance(expression, exp.Merge):
        return {type(then.args["then"]).__name__.upper() for then in expression.find_all(exp.When)}
    kinds = {exp.Insert: "INSERT", exp.Copy: "INSERT", exp.Update: "UPDATE", exp.Delete: "DELETE"}
    return {privilege for kind, privilege in kinds.items() if isinstance(expression, kind)}


def _read(expression: exp.Expr, target: exp.Table | None) -> Iterator[exp.Table]:
    """Yield the tables and views that a statement reads."""
    if not isinstance(expression, READING):
        return
    within = {cte.alias_or_name.upper() for cte in expression.find_all(exp.CTE)}
    for table in expression.find_all(exp.Table):
        is_stage_or_function = not isinstance(table.this, exp.Identifier) or table.name.startswith("@")
        if table is target or is_stage_or_function or table.db.upper() == "INFORMATION_SCHEMA":
            continue
        if table.db or table.name.upper() not in within:
            yield table


def _created(create: exp.Create, connection: FakeSnowflakeConnection) -> tuple[str, str]:
    """Return the kind and the full name of what is created; a schema's name has two parts."""
    kind = str(create.kind).upper()
    table = create.this.this if isinstance(create.this, exp.Schema) else create.this
    if kind == "SCHEMA":
        return kind, ".".join(
            [_part(table.args.get("catalog"), connection.database), _part(table.args.get("db"))]
        )
    return kind, _full_name(table, connection)


def _full_name(table: exp.Table, connection: FakeSnowflakeConnection) -> str:
    catalog = _part(table.args.get("catalog"), connection.database)
    return f"{catalog}.{_part(table.args.get('db'), connection._schema)}.{_part(table.this)}"


def _part(identifier: exp.Expr | None, default: str | None = "") -> str:
    if identifier is None:
        return default or ""
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()


def _upper(name: str) -> str:
    return name.replace('"', "").upper()


def _session(connection: FakeSnowflakeConnection) -> dict[str, Any]:
    session: dict[str, Any] = connection.__dict__.setdefault("double_session", {})
    return session


def install() -> None:
    """Give the fakesnow of this process one account's roles."""
    account = AccessControl()
    original_login = fs_server.login_request
    original_execute = FakeSnowflakeCursor.execute
    original_check = FakeSnowflakeCursor.check_db_and_schema

    async def login(request: Request) -> JSONResponse:
        role, user = _upper(request.query_params.get("roleName") or ""), await _login_name(request)
        if not account.may_connect(user, role):
            message = f"Role '{role}' specified in the connect string is not granted to this user."
            return JSONResponse({"success": False, "code": "390189", "message": message, "data": {}})
        answer = await original_login(request)
        warehouse = _upper(request.query_params.get("warehouse") or "")
        token = json.loads(answer.body)["data"]["token"]
        _session(fs_server.sessions[token]).update(role=role, warehouse=warehouse, user=user)
        return answer

    def execute(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> Any:
        return original_execute(self, account.run(command, _session(self._conn), self._conn), *args, **kwargs)

    def check(self: FakeSnowflakeCursor, expression: exp.Expr) -> None:
        original_check(self, expression)
        account.check(expression, _session(self._conn), self._conn)

    fs_server.login_request = login
    FakeSnowflakeCursor.execute = execute
    FakeSnowflakeCursor.check_db_and_schema = check


async def _login_name(request: Request) -> str:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return _upper(json.loads(body)["data"].get("LOGIN_NAME") or "")
