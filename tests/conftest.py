"""What all tests share: an Airflow that knows nothing of this machine's, and the data they run on."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from include.garbage import collect_less

collect_less()
# Of one run of tests; the processes of pytest-xdist have it from the one that starts them.
if "MARKETING_TESTS_DIR" not in os.environ:
    os.environ["MARKETING_TESTS_DIR"] = tempfile.mkdtemp(prefix="marketing-tests-")
    atexit.register(shutil.rmtree, os.environ["MARKETING_TESTS_DIR"], ignore_errors=True)
# Airflow reads its environment when it is first imported, so this comes before any test module.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-", dir=os.environ["MARKETING_TESTS_DIR"])
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "False"
os.environ["AIRFLOW__COSMOS__ENABLE_TELEMETRY"] = "False"
os.environ["AIRFLOW__COSMOS__CACHE_DIR"] = str(Path(os.environ["AIRFLOW_HOME"], "cosmos"))
os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "False"
# A test's segments must not become the ones that the user's `dbt seed` loads.
os.environ["SEGMENTS_SEED_FILE"] = str(Path(os.environ["AIRFLOW_HOME"], "customer_segments.csv"))

PROJECT_ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = PROJECT_ROOT.parent / "shared" / "data" / "ecommerce"

# A file runs on one worker, so the longest come first; beside the stack run those that mostly wait, for a
# broker or a feed.
LONGEST_FIRST = (
    "tests/e2e/test_airflow.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/streaming_faults/",
    "tests/streaming_workers/",
    "tests/dbt/",
    "tests/e2e/test_snowflake.py",
    "tests/standalone/test_build.py",
)
# These run whole DAGs on a stack, and two at once are more than two cores bear: all of them share one worker.
WHOLE_STACK = ("tests/e2e/test_airflow.py", "tests/e2e/test_demo.py")

# What stands for a process of another program, or for files that not every machine has. `make check-fast`
# leaves out each test that uses one of these, and what is marked `slow` by hand: more than a second of work,
# or processes of its own.
SLOW_FIXTURES = {
    "airflow",
    "broker",
    "browser",
    "double",
    "kafka",
    "own_broker",
    "place",
    "real_data",
    "snowflake_double",
    "store",
    "workers_image",
}


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    # A gzip header holds the second it was made in: two xdist workers would collect two different tests.
    return argname if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by what it uses; put the files of LONGEST_FIRST before all others, in its order."""
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)

    def place(item: pytest.Item) -> int:
        found = (n for n, start in enumerate(LONGEST_FIRST) if item.nodeid.startswith(start))
        return next(found, len(LONGEST_FIRST))

    items.sort(key=place)


class OneStackAtATime(LoadFileScheduling):
    """Like `--dist loadfile`, but all files of WHOLE_STACK count as one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(WHOLE_STACK):
            return "whole stack"
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneStackAtATime:
    """Give pytest-xdist its scheduler."""
    return OneStackAtATime(config, log)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The Kaggle files, which stay out of the repository."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real files are not on this machine")
    return REAL_DATA
