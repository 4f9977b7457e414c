"""`python -m ml.train` prints the segments, or one sentence that says why there are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml.registry import Registry
from ml.train import app
from tests.ml.customers import made_up_customers

pytestmark = pytest.mark.slow


def run_command(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ml.train", "--output", str(tmp_path / "registry"), *arguments]
    settings = {**os.environ, "COLUMNS": "160", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=settings)


def test_the_command_prints_the_segments_and_fails_with_figures_and_limits(tmp_path: Path) -> None:
    features = tmp_path / "features.csv"
    made_up_customers(120).to_csv(features, index=False)

    rejected = run_command(tmp_path, "--features", str(features), ML_MIN_SILHOUETTE_GAIN="0.99")

    assert rejected.returncode == 1, rejected.stderr
    assert "Champions (VIPs)" in rejected.stdout
    assert "must be at least 0.99." in rejected.stdout
    registry = Registry(tmp_path / "registry")
    assert [one.decision for one in registry.versions()] == ["rejected"]
    assert registry.current() is None


def test_the_command_refuses_an_id_that_the_warehouse_cannot_hold(tmp_path: Path) -> None:
    """64-bit unsigned ids, as Google Analytics exports hold them, would wrap into negative ones."""
    features = tmp_path / "features.csv"
    frame = made_up_customers(60).astype({"customer_id": object})
    frame["customer_id"] = [9999679083512798001 + number for number in range(60)]
    frame.to_csv(features, index=False)

    refused = run_command(tmp_path, "--features", str(features))

    assert refused.returncode == 2, refused.stderr
    assert refused.stdout == (
        f"{features}: customer_id 9999679083512798001 in row 1 is too large:"
        " the maximum is 9223372036854775807.\n"
    )
    assert not (tmp_path / "registry").exists()


def test_the_command_refuses_bad_features_with_one_sentence(tmp_path: Path) -> None:
    features = tmp_path / "features.csv"
    frame = made_up_customers(60)
    frame.assign(monetary=-1).to_csv(features, index=False)

    refused = CliRunner().invoke(app, ["--features", str(features), "--output", str(tmp_path)])

    first = frame["customer_id"].iloc[0]
    assert refused.exit_code == 2
    assert refused.output == (
        f"{features}: column monetary is negative for customer {first} in row 1 (-1.0), and for 59 more.\n"
    )
