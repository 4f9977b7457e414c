"""Delete what has been kept long enough: `python -m include.retention`, for cron, as often as you like.

Run results of dbt, log files, and versions of the segment model, each older than its setting; the version in
use and the one before it stay. Airflow's own tables: `airflow db clean`.
"""

import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from include.settings import PROJECT_ROOT, Settings, get_settings, run_command
from include.warehouse import get_warehouse

SECONDS_A_DAY = 86_400

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class RetentionError(Exception):
    """The registry did not delete its old versions; the message says why."""


@app.command()
def main() -> None:
    """Delete what is older than RUN_RESULTS_DAYS, LOG_DAYS and REGISTRY_DAYS."""
    settings = get_settings()
    try:
        typer.echo(
            f"{delete_run_results(settings):>8,} run results older than {settings.run_results_days} days"
        )
        typer.echo(f"{delete_logs(settings):>8,} log files older than {settings.log_days} days")
        typer.echo(f"{delete_versions(settings):>8,} model versions older than {settings.registry_days} days")
    except RetentionError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def delete_run_results(settings: Settings) -> int:
    """Delete rows of raw.dbt_run_results, which dbt makes with its first run; return their number."""
    before = dt.datetime.now(dt.UTC) - dt.timedelta(days=settings.run_results_days)
    table = f"{os.environ.get('DBT_SCHEMA_PREFIX', '')}raw.dbt_run_results"
    with get_warehouse(settings, "transformer").session() as session:
        known = session.execute(
            "select 1 from information_schema.tables"
            " where lower(table_schema) || '.' || lower(table_name) = ?",
            [table],
        )
        if not known:
            return 0
        where = "where completed_at < ?"
        with session.transaction():
            [(count,)] = session.execute(f"select count(*) from {table} {where}", [before])  # noqa: S608
            session.execute(f"delete from {table} {where}", [before])  # noqa: S608 (our names)
    return int(count)


def delete_logs(settings: Settings) -> int:
    """Delete log files of the local stack and of Airflow; return their number."""
    end = time.time() - settings.log_days * SECONDS_A_DAY
    old = [path for path in _logs(settings) if path.stat().st_mtime < end]
    for path in old:
        path.unlink()
    return len(old)


def _logs(settings: Settings) -> Iterator[Path]:
    folders = {settings.local_dir / "logs", settings.local_dir / "airflow" / "logs"}
    if home := os.environ.get("AIRFLOW_HOME"):
        folders.add(Path(home) / "logs")
    for folder in folders:
        yield from (path for path in folder.rglob("*.log*") if path.is_file() and not path.is_symlink())


def delete_versions(settings: Settings) -> int:
    """Let the registry delete its old versions, since nothing here may import ml; return their number."""
    command = [sys.executable, "-m", "ml.registry", "prune", str(settings.registry_days)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RetentionError(f"The registry kept its versions: {(done.stdout + done.stderr).strip()}")
    return len(done.stdout.split())


if __name__ == "__main__":
    run_command(app)
