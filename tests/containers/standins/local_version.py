"""Gives an installed package a local version: `python local_version.py apache-airflow +astro.1`."""

import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

name, local = sys.argv[1:]
found = distribution(name)
stem = f"{found.name.replace('-', '_')}-{found.version}"
old = Path(str(found.locate_file(f"{stem}.dist-info")))
for file, before in (
    ("METADATA", f"\nVersion: {found.version}\n"),
    ("RECORD", f"{stem}.dist-info/"),
):
    text = (old / file).read_text(encoding="utf-8")
    if before not in text:
        sys.exit(f"{old / file} does not hold {before!r}")
    after = before.replace(found.version, found.version + local)
    (old / file).write_text(text.replace(before, after), encoding="utf-8")
# Not rename: the folder lies in a layer below.
shutil.move(old, old.with_name(f"{stem}{local}.dist-info"))
