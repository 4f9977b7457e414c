"""The compose file as compose itself reads it."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from include.container_secrets import SECRETS
from tests.deployment.tools import ROOT, run

# Compose interpolates them; the container `secrets-check` judges them.
FILLED_IN = {name: f"value-of-{name}" for name in SECRETS}
TEXT = (ROOT / "docker-compose.yaml").read_text()


def config(env: dict[str, str], env_file: Path = Path("/dev/null")) -> subprocess.CompletedProcess[str]:
    """Run `docker compose config` with these variables; a developer's own .env stays out."""
    return run("docker-compose", "--env-file", env_file, "config", "--format", "json", env=env)


@cache
def services_of(profiles: str) -> dict[str, Any]:
    """Return the services that start with these profiles (comma-separated) and every secret filled in."""
    result = config({**FILLED_IN, "COMPOSE_PROFILES": profiles})
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = json.loads(result.stdout)["services"]
    return services
