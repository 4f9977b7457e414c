"""Both images and the whole compose file on a real container engine; `make containers-test` runs it.

The tests are one story of one stack, in this order.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.settings import Settings
from standalone.demo import BATCH_DAG, STREAMING_DAG
from standalone.sample_data.generator import generate
from streaming_workers.events import PRICES_TOPIC, STREAMS
from tests.containers.engine import Engine, engine
from tests.containers.images import build, provide, without_digests
from tests.containers.stack import TAG, Stack
from tests.dbt.money import Amounts, expected_lines
from tests.deployment.tools import ROOT
from tests.e2e.streaming_faults.exactly_once import (
    CONNECT_HEADERS,
    DeadLetter,
    Entry,
    Outcome,
    Row,
    violations,
)

pytestmark = [pytest.mark.containers, pytest.mark.timeout(7200)]

LOSE_THE_WAREHOUSE = ("sh", "-c", "rm /var/lib/marketing/warehouse/*")
PG_RESTORE = re.search(r"backup-database '(.*?)'\n", (ROOT / "docs/deployment.md").read_text(), re.DOTALL)[1]  # type: ignore[index]
CACHE = Settings().local_dir / "containers"
AMOUNTS = "gross_sales_amount, discount_amount, net_sales_amount, gst_amount, delivery_amount, total_amount"


@pytest.fixture(scope="module")
def docker() -> Iterator[Engine]:
    """An engine that has every base image."""
    with engine(CACHE / "engine") as found:
        yield found


@pytest.fixture(scope="module")
def compose_file(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compose file, once every image is there that it names; stand-ins go without digests."""
    standins = provide(docker, CACHE)
    print("stand-ins:", ", ".join(sorted(standins)) or "none")
    build(docker, standins, TAG)
    if not standins:
        return ROOT / "docker-compose.yaml"
    file = tmp_path_factory.mktemp("compose") / "docker-compose.yaml"
    file.write_text(without_digests((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"), standins))
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    folder.chmod(0o755)  # the containers' user reads it
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def before(docker: Engine) -> dict[str, set[str]]:
    return things(docker)


@pytest.fixture(scope="module")
def stack(
    docker: Engine,
    compose_file: Path,
    before: dict[str, set[str]],
    data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    one = Stack(docker, compose_file, tmp_path_factory.mktemp("stack"), data)
    try:
        one.up()
        yield one
    finally:
        one.down()


def things(docker: Engine) -> dict[str, set[str]]:
    """Return the ids of all containers, volumes and networks of the engine."""
    lists = {
        kind: (kind, "ls", "--quiet", *(["--all"] if kind == "container" else []))
        for kind in ("container", "volume", "network")
    }
    return {kind: set(docker.docker(*words).split()) for kind, words in lists.items()}


def assert_right_figures(stack: Stack, data: Path) -> None:
    """Every amount of the shop, recomputed from its files."""
    lines = expected_lines(data)
    wanted = [sum(amounts) for amounts in zip(*lines.values(), strict=True)]
    sums = ", ".join(f"sum({name})" for name in AMOUNTS.split(", "))
    [[count, *found]] = stack.query(f"select count(*), {sums} from analytics.fct_sales")
    assert count == len(lines)
    assert Amounts(*map(Decimal, found)) == Amounts(*wanted)


def outcome(topic: str, found: dict[str, Any]) -> Outcome:
    """Return what inside.py found of a stream in the terms of the check of tests/e2e/streaming_faults."""

    def entry(record: list[Any]) -> Entry:
        *_, key, value, headers = record
        return Entry(
            value and bytes.fromhex(value),
            key and bytes.fromhex(key),
            tuple((name, bytes.fromhex(text)) for name, text in headers),
        )

    def letter(record: list[Any]) -> DeadLetter:
        one = entry(record)
        headers = dict(one.headers)
        source = (int(headers["__connect.errors.partition"]), int(headers["__connect.errors.offset"]))
        original = replace(one, headers=one.headers[: -len(CONNECT_HEADERS)])
        return DeadLetter(headers["__connect.errors.topic"].decode(), source, record[0], original)

    return Outcome(
        topic=topic,
        log={(record[0], record[1]): entry(record) for record in found["log"]},
        ends={int(partition): end for partition, end in found["ends"].items()},
        rows=[
            Row((partition, offset), event_id, payload)
            for partition, offset, event_id, payload in found["rows"]
        ],
        dead_letters=[letter(record) for record in found["dead_letters"]],
        next_offsets=[(partition, offset) for partition, offset in found["next_offsets"]],
    )


def check_that_each_event_is_there_once(stack: Stack, at_least: int = 1) -> int:
    """Without a producer the consumer comes to the end; then every message of Kafka is a row, once.

    Dead letters count as well: what the tests send as poison is one, and no row. Returns their number.
    """

    def at_the_end() -> bool:
        found = stack.streams()
        stored = {topic: dict(one["next_offsets"]) for topic, one in found.items()}
        ends = {topic: {int(p): end for p, end in one["ends"].items()} for topic, one in found.items()}
        return stored == ends

    stack.compose("stop", "producer")
    try:
        stack.wait_until(at_the_end, "the stored offsets to be the ends of the topics")
        found = stack.streams()  # once more: the look that saw the end read the topics before the offsets
    finally:
        stack.compose("start", "producer")
    for topic, one in found.items():
        assert violations(outcome(topic, one)) == []
    assert len(found[PRICES_TOPIC]["rows"]) >= at_least
    return sum(len(one["dead_letters"]) for one in found.values())


def events(stack: Stack) -> int:
    """Return the number of prices stored."""
    [[count]] = stack.query("select count(*) from streaming.bitcoin_prices_raw")
    return int(count)


def test_every_service_is_healthy_or_has_done_its_work(stack: Stack) -> None:
    for container in stack.compose("ps", "--all", "--quiet").split():
        state = stack.inspect(container)["State"]
        once = state["Status"] == "exited"
        assert state["ExitCode"] == 0 if once else state["Health"]["Status"] == "healthy", state


def test_no_container_runs_as_root(stack: Stack) -> None:
    """What the kernel says of every process, not what the file asks for."""
    for container in stack.compose("ps", "--quiet").split():
        table = stack.engine.docker("top", container, "-eo", "uid,pid").splitlines()[1:]
        assert table
        assert "0" not in {line.split()[0] for line in table}, stack.inspect(container)["Name"]


def test_a_run_of_the_dag_gives_the_shops_figures(stack: Stack, data: Path) -> None:
    stack.wait_for_run(BATCH_DAG, stack.run_dag(BATCH_DAG))
    assert_right_figures(stack, data)


def test_the_streams_arrive(stack: Stack) -> None:
    stack.wait_until(lambda: events(stack) >= 5, "five prices")
    stack.wait_for_run(STREAMING_DAG, stack.run_dag(STREAMING_DAG))
    check_that_each_event_is_there_once(stack)


@pytest.mark.parametrize(
    ("user", "topic", "password"),
    [
        ("consumer", PRICES_TOPIC, None),  # it may only read events
        ("airflow", PRICES_TOPIC, None),
        ("producer", STREAMS[PRICES_TOPIC].dead_letter_topic, None),
        ("operator", PRICES_TOPIC, "not-the-password"),
    ],
)
def test_the_broker_refuses_what_a_login_may_not_do(
    stack: Stack, user: str, topic: str, password: str | None
) -> None:
    with pytest.raises(AssertionError, match=r"TopicAuthorizationFailedError|SaslAuthenticationFailed"):
        stack.produce_as(user, topic, "never", password)


def test_what_is_no_event_becomes_one_dead_letter(stack: Stack) -> None:
    stack.produce_as("operator", PRICES_TOPIC, "no event")
    assert check_that_each_event_is_there_once(stack) == 1


@pytest.mark.parametrize(
    ("service", "host", "port", "reached"),
    [
        ("producer", "kafka", 9092, True),
        ("producer", "postgres", 5432, False),
        ("producer", "api-server", 8080, False),
        ("consumer", "postgres", 5432, False),
        ("consumer", "simulator", 8094, False),
        ("scheduler", "postgres", 5432, True),
        ("scheduler", "kafka", 9092, True),
        ("scheduler", "kafka", 19092, False),  # where the broker asks for no login
        ("triggerer", "kafka", 9092, False),
    ],
)
def test_a_container_reaches_what_it_needs_and_no_more(
    stack: Stack, service: str, host: str, port: int, *, reached: bool
) -> None:
    assert stack.reaches(service, host, port) is reached


@pytest.mark.parametrize("service", ["consumer", "kafka"])
def test_a_killed_part_of_the_stream_comes_back_without_loss(stack: Stack, service: str) -> None:
    before = events(stack)
    stack.kill_service(service)
    stack.wait_until(lambda: events(stack) > before + 3, "new prices after the kill")
    check_that_each_event_is_there_once(stack, before + 3)


def test_a_killed_database_comes_back_with_every_run(stack: Stack) -> None:
    def runs() -> list[tuple[str, str]]:
        sql = "copy (select run_id, state from dag_run order by 1) to stdout"
        found = stack.compose("exec", "-T", "postgres", "psql", "-U", "airflow", "-c", sql, "airflow")
        return [(run, state) for run, state in (line.split("\t") for line in found.splitlines())]

    before = runs()
    stack.kill_service("postgres")
    assert runs() == before
    stack.wait_for_run(STREAMING_DAG, stack.run_dag(STREAMING_DAG))


def test_what_the_profile_backs_up_comes_back(stack: Stack, data: Path) -> None:
    """Healthy says that both backups are there; restored as docs/deployment.md says, after all was lost."""
    sql = "select count(*) from dag_run where state = 'success'"
    psql = ("psql", "--username", "airflow", "--tuples-only", "--command")
    stack.profiles = "simulator,backups"
    stack.up()
    runs = stack.compose("exec", "-T", "postgres", *psql, sql)
    assert int(runs) >= 3
    stack.compose("stop")
    stack.compose("run", "--rm", "--no-deps", "-T", "consumer", *LOSE_THE_WAREHOUSE)
    stack.compose("run", "--rm", "--no-deps", "-T", "backup", "python", "-m", "include.backup", "restore")
    stack.compose("up", "--detach", "--wait", "postgres")
    stack.compose("exec", "-T", "postgres", *psql, "delete from dag_run")
    stack.compose("run", "--rm", "--no-deps", "-T", "backup-database", PG_RESTORE)
    assert stack.compose("exec", "-T", "postgres", *psql, sql) == runs
    stack.up()
    assert_right_figures(stack, data)
    check_that_each_event_is_there_once(stack)


def test_a_celery_worker_killed_in_a_task_costs_no_run(stack: Stack, data: Path) -> None:
    """The user of the stack above turns the profile on; the other worker repeats what the killed one left."""
    stack.profiles, stack.extra = "simulator,backups,scale", {"AIRFLOW_EXECUTOR": "CeleryExecutor"}
    stack.up()
    workers = stack.containers("airflow-worker")
    assert len(workers) == 2
    run_id = stack.run_dag(BATCH_DAG)

    def at_work() -> str | None:
        for worker in workers:
            if any(re.search(r"dbt\S* build ", command) for command in stack.processes(worker)):
                return worker
        return None

    victim = stack.wait_until(at_work, "a worker that runs dbt")
    stack.kill(victim)
    stack.wait_for_run(BATCH_DAG, run_id)
    assert max(task.try_number for task in stack.api.tasks(BATCH_DAG, run_id)) > 1
    assert_right_figures(stack, data)
    check_that_each_event_is_there_once(stack)


def test_down_leaves_nothing(stack: Stack, docker: Engine, before: dict[str, set[str]]) -> None:
    stack.down()
    left = {kind: ids - before[kind] for kind, ids in things(docker).items()}
    assert not any(left.values()), left
