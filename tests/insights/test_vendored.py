"""ECharts is the file of its release, with its licence beside it."""

import hashlib
import re

from include.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "include" / "insights" / "static" / "echarts"
SHA256 = "61f13280aba3161f77fc801bf5f9c786f55f10432153a0683fc5cc0700b013d5"  # of echarts@6.1.0 on npm


def test_it_is_unmodified_and_says_its_version_and_licence() -> None:
    content = (FOLDER / "echarts.common.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256
    assert len(content) < 1024 * 1024, "pre-commit refuses larger files"
    [version] = set(re.findall(rb'version="(6\.\d+\.\d+)"', content)) or {b"?"}
    assert f"ECharts {version.decode()}," in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "Apache Software Foundation" in (FOLDER / "NOTICE").read_text(encoding="utf-8")
