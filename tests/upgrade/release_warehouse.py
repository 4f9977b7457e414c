"""The warehouse file that a release leaves behind, tiny, for the test of the next one's upgrade.

Run at the release's commit: `python -m tests.upgrade.release_warehouse FILE`, as CONTRIBUTING.md says.
"""

import lzma
import sys
import tempfile
from pathlib import Path

from standalone.sample_data.generator import generate
from tests.dbt.dbt_project import Project, keep_some, make_project, run_dbt
from tests.dbt.test_streaming import article, price, store

CUSTOMERS = 12
SEGMENTS = "customer_id,segment_id,segment_name,model_version\n"


def build(tree: Path) -> Project:
    """Ingest a few customers and events, give the customers segments, and build everything."""
    project = make_project(tree)
    generate(tree / "everyone")
    keep_some(tree / "everyone", project.folder, CUSTOMERS)
    project.ingest()
    run_dbt(project, "run", "--select", "base_customers")  # and the tables of the streams
    known = project.query("select customer_id from staging.base_customers order by 1")
    rows = [f"{customer},4,Loyal Customers,first\n" for (customer,) in known]
    (project.directory / "seeds" / "customer_segments.csv").write_text(SEGMENTS + "".join(rows))
    store(project, 1, price(0, "100.5"), price(61, "101.25"), article(5, "Bitcoin rises"))
    run_dbt(project, "build")
    return project


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        file = build(Path(place)).warehouse
        Path(sys.argv[1]).write_bytes(lzma.compress(file.read_bytes(), preset=9))
