"""Show dead letters and replay them: `python -m streaming_workers.dead_letters {list,replay}`."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.settings import run_command
from streaming_workers.dead_letters.replay import replay_all
from streaming_workers.dead_letters.topic import error_header, newest
from streaming_workers.events import STREAMS, Stream
from streaming_workers.settings import KafkaSettings

PREVIEW_CHARACTERS = 60

app = typer.Typer(help="Dead letters.", no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False)

Topic = Annotated[str, typer.Option(help="Only those of this topic (bitcoin-prices, say); default: all.")]
Limit = Annotated[int, typer.Option(min=1, help="How many of each partition, the newest.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")]


@app.command("list")
def list_letters(topic: Topic = "", limit: Limit = 20) -> None:
    """Show the newest dead letters."""
    letters = _run(lambda settings: newest(settings, _streams(topic), limit))
    if not letters:
        console.print("There are no dead letters.")
        return
    table = Table(*("Topic", "Partition", "Offset", "Time", "Reason", "Bytes", "Value"))
    for letter in letters:
        table.add_row(*(Text(cell) for cell in _cells(letter)))
    console.print(table)


@app.command()
def replay(topic: Topic = "", dry_run: DryRun = False) -> None:
    """Send dead letters to the topics they came from, each once, however often this is called.

    What is still no valid event comes back as a new dead letter.
    """
    sent = _run(lambda settings: replay_all(settings, _streams(topic), dry_run))
    verb = "would be sent again" if dry_run else "sent again"
    for name, count in sent.items():
        console.print(f"{name}: {count} dead letter(s) {verb}")


def _streams(topic: str) -> list[Stream]:
    if topic and topic not in STREAMS:
        raise typer.BadParameter(f"{topic} is none of {', '.join(STREAMS)}")
    return [STREAMS[topic]] if topic else list(STREAMS.values())


def _cells(letter: ConsumerRecord) -> list[str]:
    time = datetime.fromtimestamp(letter.timestamp / 1000, UTC).isoformat(" ", "seconds")
    size = "none" if letter.value is None else str(len(letter.value))
    return [
        error_header(letter, "topic"),
        error_header(letter, "partition"),
        error_header(letter, "offset"),
        time,
        _printable(error_header(letter, "exception.message").encode()),
        size,
        _printable(letter.value or b""),
    ]


def _printable(value: bytes) -> str:
    """Return the start of a text as ASCII without control characters: a value may hold anything."""
    text = value[:PREVIEW_CHARACTERS].decode("utf-8", "backslashreplace")
    return text.encode("unicode_escape").decode("ascii")


def _run(command: Callable[[KafkaSettings], Coroutine[Any, Any, Any]]) -> Any:
    """Run a command; a cluster that does not answer is one sentence and exit code 1."""
    settings = KafkaSettings()
    try:
        return asyncio.run(command(settings))
    except (KafkaError, TimeoutError) as error:
        reason = str(error) or "no answer"
        console.print(f"Kafka at {settings.bootstrap_servers}: {reason}", style="red", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    run_command(app)
