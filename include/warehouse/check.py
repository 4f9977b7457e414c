"""Whether the warehouse is ready: `python -m include.warehouse.check`, for before the first run.

On DuckDB it opens the file for writing. On Snowflake it connects as each of the three roles and checks
every privilege that the product needs. Each gets a line: `ok`, or `missing` with the statement that grants
it. Ends with 1 if one is missing, with 2 if there is no connection or a key or its passphrase is wrong.
"""

import typer
from rich.console import Console

from include.settings import get_settings, run_command
from include.warehouse import NotReachableError, get_warehouse

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True, markup=False)


@app.command()
def main() -> None:
    """Check the connection and the privileges of the warehouse that WAREHOUSE names."""
    if get_settings().warehouse == "snowflake":
        console.print("Connecting to Snowflake …")  # an address that does not answer takes a minute and more
    try:
        findings = get_warehouse().check()
    except NotReachableError as error:
        console.print(str(error))
        raise typer.Exit(2) from error
    for found in findings:
        console.print("ok     " if found.ok else "missing", style="green" if found.ok else "red", end=" ")
        console.print(f"{found.role:<12} {found.need}")
        if found.remedy and not found.ok:
            console.print(f"        {found.remedy};")
    if missing := sum(not found.ok for found in findings):
        console.print(
            f"{missing} of {len(findings)} missing; include/snowflake/bootstrap.sql makes all of them."
        )
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(app)
