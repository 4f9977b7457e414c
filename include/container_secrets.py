"""The secrets of the compose file: made at random, and refused where they are missing, weak or an example's.

    python -m include.container_secrets write    # .env from .env.example, with fresh secrets
    python -m include.container_secrets check    # those of the environment; compose starts nothing before it

No value ever enters a message.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from cryptography.fernet import Fernet

from include.settings import PROJECT_ROOT

app = typer.Typer(help="The secrets of the compose file.", no_args_is_help=True)

IN_A_URL = re.compile(r"[A-Za-z0-9_-]+")
# Five letters at least: a shorter word may well stand in a random value.
EXAMPLE_WORDS = re.compile(
    r"admin|airflow|change|example|postgres|replace|secret|password|default", re.IGNORECASE
)
FEWEST_CHARACTERS = 8  # that differ
# Keys that tutorials tell people to paste.
PUBLISHED = {
    "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",  # pragma: allowlist secret
    "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",  # pragma: allowlist secret
}


@dataclass(frozen=True)
class Secret:
    """How one secret is made, and what it must be."""

    make: Callable[[], str]
    shortest: int  # characters
    in_a_url: bool = False
    fernet: bool = False


SECRETS = {
    "POSTGRES_PASSWORD": Secret(lambda: secrets.token_hex(32), shortest=16, in_a_url=True),
    "AIRFLOW_FERNET_KEY": Secret(lambda: Fernet.generate_key().decode(), shortest=44, fernet=True),
    "AIRFLOW_JWT_SECRET": Secret(lambda: secrets.token_hex(64), shortest=32),
    "AIRFLOW_API_SECRET_KEY": Secret(lambda: secrets.token_hex(32), shortest=16),
    "AIRFLOW_ADMIN_PASSWORD": Secret(lambda: secrets.token_urlsafe(18), shortest=12),
    "REDIS_PASSWORD": Secret(lambda: secrets.token_hex(32), shortest=16, in_a_url=True),
    **{
        f"KAFKA_{user}_PASSWORD": Secret(lambda: secrets.token_hex(32), shortest=16, in_a_url=True)
        for user in ("PRODUCER", "CONSUMER", "AIRFLOW", "OPERATOR")
    },
}
OF_SCALE = {"REDIS_PASSWORD"}
EXECUTOR = "AIRFLOW_EXECUTOR"
CELERY = "CeleryExecutor"
WAREHOUSE = "WAREHOUSE"


def problems(env: Mapping[str, str], *, scale: bool = False, simulator: bool = False) -> list[str]:
    """Return one sentence for each secret that must not be used, and for what does not fit the profiles.

    `scale` and `simulator` are profiles: the one asks for what Celery needs, the other refuses Snowflake.
    """
    uses_celery = scale or env.get(EXECUTOR) == CELERY
    wanted = {name: secret for name, secret in SECRETS.items() if uses_celery or name not in OF_SCALE}
    found = [
        f"{name} {why}" for name, secret in wanted.items() if (why := _problem(secret, env.get(name, "")))
    ]
    owners: dict[str, str] = {}
    for name in wanted:
        if (value := env.get(name, "")) and owners.setdefault(value, name) != name:
            found.append(f"{name} is the same as {owners[value]}")
    if scale and env.get(EXECUTOR) != CELERY:
        found.append(f"{EXECUTOR} must be {CELERY} with the profile scale, or its workers get no task")
    if simulator and env.get(WAREHOUSE) == "snowflake":
        found.append(
            f"{WAREHOUSE}=snowflake with the profile simulator would write made-up prices and news to"
            " Snowflake: take the profile live, or none"
        )
    return found


def _problem(secret: Secret, value: str) -> str | None:
    keys = value.split(",") if secret.fernet else []  # a new one, then old ones that can still be read
    safe = IN_A_URL.fullmatch(value) or not secret.in_a_url
    short = f"has {len(value)} characters; at least {secret.shortest} are asked for"
    rules = {
        "is not set": value != "",
        "is an example, not a secret": value not in PUBLISHED and not EXAMPLE_WORDS.search(value),
        short: len(value) >= secret.shortest,
        "repeats a few characters: it can be guessed": len(set(value)) >= FEWEST_CHARACTERS,
        "becomes part of a URL: letters, digits, - and _ only": safe,
        "is no Fernet key: 32 bytes in URL-safe base64": all(_is_fernet_key(key) for key in keys),
    }
    return next((why for why, holds in rules.items() if not holds), None)


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True


def filled_in(example: str) -> str:
    """Return the text of .env.example with a fresh value for each of its secrets."""
    for name, secret in SECRETS.items():
        example, count = re.subn(rf"^{name}=$", f"{name}={secret.make()}", example, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f".env.example must have one empty line for {name}")
    return example


@app.command()
def check(
    *,
    scale: Annotated[bool, typer.Option("--scale", help="Ask for what Celery needs, too.")] = False,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="Refuse made-up feeds for Snowflake.")
    ] = False,
) -> None:
    """Exit with 1 and the reasons if the environment's secrets must not be used, or not with a profile."""
    if found := problems(os.environ, scale=scale, simulator=simulator):
        typer.echo("\n".join([*found, "`make env` or the comments in .env.example say how."]), err=True)
        raise typer.Exit(1)


@app.command()
def write(target: Annotated[Path, typer.Argument(help="The file to write.")] = PROJECT_ROOT / ".env") -> None:
    """Write .env from .env.example, readable by its owner alone; a file that exists is left alone."""
    text = filled_in((PROJECT_ROOT / ".env.example").read_text(encoding="utf-8"))
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        typer.echo(f"{target} exists and is left as it is: its secrets may be in use.", err=True)
        raise typer.Exit(1) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    typer.echo(f"Wrote {target}")


if __name__ == "__main__":
    app()
