"""The real dbt project in a folder of its own, with its files, its warehouse and short ways to use them."""

import contextlib
import csv
import gc
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType
from typing import Any
from unittest import mock

import jinja2
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.context.providers import RuntimeConfigObject
from dbt.contracts.graph.nodes import ParsedNode
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.tests import enable_test_caching

from include.dbt_with_parent import DBT_WITH_PARENT, close_duckdb, start_from_any_parse
from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT
from include.warehouse.duckdb import DuckDBWarehouse
from ml.reseed import NOT_COPIED
from ml.seed import ensure_seed
from standalone.sample_data.generator import generate
from tests.dbt.money import Row, read
from tests.machine import made_once

Rows = list[tuple[Any, ...]]

WAREHOUSE = "marketing_insights.duckdb"  # the file's name is the database's name in the manifest
OUR_VARIABLES = ("WAREHOUSE", "DUCKDB_PATH", "LOCAL_DIR", "DBT_")
# What no test of this project in this process reads, and what takes a sixth of dbt's time.
QUICKLY = ("--no-write-json", "--log-level-file", "none")
WITHOUT_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")

enable_test_caching()  # dbt keeps what it has parsed of Jinja, and which modules are its plugins


@dataclass(frozen=True)
class Outcome:
    """What a dbt command did: its nodes' states by name, and what it printed."""

    success: bool
    states: dict[str, str]
    output: str
    raw: dbtRunnerResult

    @property
    def failed(self) -> set[str]:
        """The names of the nodes that did not succeed."""
        return {name for name, state in self.states.items() if state in {"fail", "error"}}


@dataclass(frozen=True)
class Project:
    """`tree` holds include/dbt and .local/warehouse as the repository does; `folder` the shop's files."""

    tree: Path
    folder: Path
    warehouse: Path
    manifest: Any = field(default=None, repr=False)

    @property
    def directory(self) -> Path:
        """Where dbt_project.yml is."""
        return self.tree / "include" / "dbt"

    def copy(self, to: Path) -> "Project":
        """Return a project with the same dbt files, and copies of the shop's files and the warehouse."""
        self.query("checkpoint")
        shutil.copytree(self.folder, to / "data")
        shutil.copy(self.warehouse, to / WAREHOUSE)
        return replace(self, folder=to / "data", warehouse=to / WAREHOUSE)

    def ingest(self) -> None:
        """Load what changed in the folder."""
        for dataset in DATASETS:
            ingest(DuckDBWarehouse(self.warehouse), str(self.folder), dataset)

    def query(self, sql: str) -> Rows:
        """Return the rows of one statement."""
        with DuckDBWarehouse(self.warehouse).session() as session:
            return session.execute(sql)

    def metric(self, name: str) -> Any:
        """Return a metric of the semantic layer over all days, by the definitions of the manifest."""
        metrics = {one.name: one for one in self.manifest.metrics.values()}
        params = metrics[name].type_params
        if params.numerator:
            return self.metric(params.numerator.name) / self.metric(params.denominator.name)
        for model in self.manifest.semantic_models.values():
            for measure in model.measures:
                if measure.name == params.measure.name:
                    value = f"{measure.agg.value}({measure.expr or measure.name})"
                    relation = f"{model.node_relation.schema_name}.{model.node_relation.alias}"
                    return self.query(f"select {value} from {relation}")[0][0]
        raise KeyError(params.measure.name)

    def edit(self, name: str, change: Callable[[list[Row]], Iterable[Row]]) -> None:
        """Rewrite one of the shop's files and load it."""
        path = self.folder / name
        rows = list(change(read(path)))
        write(path, rows)
        self.ingest()

    def dbt(self, *arguments: str, **variables: str) -> Outcome:
        """Run dbt in this process, on this project's warehouse, without parsing the project again."""
        options = ["--vars", json.dumps(variables)] if variables else []
        with (
            environment(DUCKDB_PATH=str(self.warehouse)),
            contextlib.chdir(self.directory),
            only_data_and_words(),
        ):
            return invoke(dbtRunner(manifest=self.manifest), [*QUICKLY, *arguments, *options])

    def dbt_as_typed(self, *arguments: str) -> Outcome:
        """Run dbt as a person does in include/dbt, with no variable set."""
        with environment(), contextlib.chdir(self.directory):
            return invoke(dbtRunner(), [*arguments])


def invoke(runner: dbtRunner, arguments: list[str]) -> Outcome:
    """Run one command."""
    start_from_any_parse()  # as the product's dbt does, which starts from what is parsed here
    with quick_dbt(), contextlib.redirect_stdout(io.StringIO()) as output:
        result = runner.invoke(arguments)
    close_duckdb()
    results = getattr(result.result, "results", None) or []
    nodes = [one for one in results if getattr(one, "node", None)]
    states = {one.node.name: str(one.status) for one in nodes if one.node.resource_type != "operation"}
    return Outcome(result.success, states, output.getvalue(), result)


@contextlib.contextmanager
def only_data_and_words() -> Iterator[None]:
    """Have dbt write no comments on tables and columns, nor tell what is for its debug log: a seventh."""
    with (
        # Jinja's sandbox calls no mock.
        mock.patch.object(RuntimeConfigObject, "persist_relation_docs", undocumented),
        mock.patch.object(RuntimeConfigObject, "persist_column_docs", undocumented),
        mock.patch.object(EventManager, "fire_event", told),
    ):
        yield


def undocumented(config: RuntimeConfigObject) -> bool:
    return False


TELLS = EventManager.fire_event


def told(
    manager: EventManager, event: BaseEvent, level: EventLevel | None = None, *rest: Any, **more: Any
) -> None:
    if (level or event.level_tag()) != EventLevel.DEBUG:
        TELLS(manager, event, level, *rest, **more)


@contextlib.contextmanager
def quick_dbt() -> Iterator[None]:
    """Spare dbt what no test of this process needs: a quarter of its time."""
    with (
        # dbt would look through all modules of the test run for the name of the one with a behaviour flag.
        mock.patch.object(BehaviorFlagRendered, "_default_source", staticmethod(lambda: "dbt.adapters")),
        mock.patch.object(ParsedNode, "write_node"),  # two files of each node's SQL
        mock.patch.object(jinja2.Environment, "compile", compiled_once),
    ):
        gc.disable()  # a seventh of dbt's time, for what the next collection finds, too
        try:
            yield
        finally:
            gc.enable()


JINJA_COMPILES = jinja2.Environment.compile
COMPILED: dict[tuple[type[jinja2.Environment], str], CodeType] = {}


def compiled_once(environment: jinja2.Environment, source: Any, *arguments: Any, **options: Any) -> Any:
    """Compile Jinja as its own method does, but a text that dbt has compiled before not again."""
    key = type(environment), source
    if arguments or options or not isinstance(source, str) or environment.undefined is not jinja2.Undefined:
        return JINJA_COMPILES(environment, source, *arguments, **options)
    if key not in COMPILED:
        COMPILED[key] = JINJA_COMPILES(environment, source)
    return COMPILED[key]


def environment(**variables: str) -> contextlib.AbstractContextManager[Any]:
    """Return a context in which of our variables just these are set."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
    return mock.patch.dict(os.environ, {**others, **variables}, clear=True)


def make_project(tree: Path) -> Project:
    """Copy include/dbt into `tree`; the warehouse lies where its profile looks for it by default.

    dbt has parsed it: of what a test changes, it parses that alone.
    """
    project = _copy(tree)
    target = project.directory / "target"
    target.mkdir()
    shutil.copy(parsed(), target)
    return project


def _copy(tree: Path) -> Project:
    shutil.copytree(
        DBT_PROJECT_DIR,
        tree / "include" / "dbt",
        ignore=NOT_COPIED,
    )
    ensure_seed(tree / "include" / "dbt")
    return Project(tree, tree / "data", tree / ".local" / "warehouse" / WAREHOUSE)


def parsed() -> Path:
    """Return what dbt keeps of a parse, which takes five seconds of a processor: once for all tests."""

    def parse(folder: Path) -> None:
        assert _copy(folder).dbt_as_typed("parse").success

    return made_once("parsed", parse) / "include" / "dbt" / "target" / "partial_parse.msgpack"


def make_shop(tree: Path) -> Project:
    """Make a project with the generated shop in full size, built as a person would, with no variable set.

    All tests passed, before any training: the segments are empty, and that is no failure.
    """

    def build(folder: Path) -> None:
        project = make_project(folder)
        generate(project.folder)
        project.ingest()
        run_dbt(project, "build")
        project.query("checkpoint")

    shop = Project(made := made_once("shop", build), made / "data", made / ".local" / "warehouse" / WAREHOUSE)
    project = make_project(tree)
    shutil.copytree(shop.folder, project.folder)
    project.warehouse.parent.mkdir(parents=True)
    shutil.copy(shop.warehouse, project.warehouse)
    return project


def run_dbt(project: Project, *arguments: str, **variables: str) -> str:
    """Run dbt as a process of its own in include/dbt, with just these variables; return what it printed."""
    command = [sys.executable, str(DBT_WITH_PARENT), *arguments]
    with environment(
        PYTHONPATH=str(PROJECT_ROOT), **variables
    ):  # the copy has no include/*.py two folders above it
        process = subprocess.run(
            command, cwd=project.directory, capture_output=True, text=True, check=False, timeout=500
        )
    assert process.returncode == 0, process.stdout[-4000:]
    return process.stdout


def write(path: Path, rows: list[Row]) -> None:
    """Write rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def keep_some(source: Path, target: Path, customers: int) -> None:
    """Copy the shop's files with this many customers, 12347 among them, and just their lines."""
    shutil.copytree(source, target)
    everyone = read(source / "CustomersData.csv")
    chosen = [row for row in everyone if row["CustomerID"] == "12347"]
    chosen += [row for row in everyone if row["CustomerID"] != "12347"][: customers - 1]
    known = {row["CustomerID"] for row in chosen}
    write(target / "CustomersData.csv", chosen)
    sales = [row for row in read(source / "Online_Sales.csv") if row["CustomerID"] in known]
    write(target / "Online_Sales.csv", sales)
