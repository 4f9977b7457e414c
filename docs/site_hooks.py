"""What MkDocs publishes beside docs/: the pages of the repository's root and dbt's own docs."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import ConfigurationError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_FILES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE")
TO_ROOT = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, ROOT_FILES))})")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's files and DBT_DOCS, the HTML page of `dbt docs generate --static`, as dbt/index.html.

    Raises ConfigurationError if that page is missing.
    """
    root = Path(config.config_file_path).parent
    dbt_docs = Path(os.environ.get("DBT_DOCS", root / ".local" / "dbt-state" / "static_index.html"))
    if not dbt_docs.is_file():
        raise ConfigurationError(f"{dbt_docs} is missing: `make docs` makes it before it builds the site")
    for name, path in {**{name: root / name for name in ROOT_FILES}, "dbt/index.html": dbt_docs}.items():
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Return the page with links between the root and docs/ as the site has them: both in one folder."""
    if page.file.src_uri in ROOT_FILES:
        return markdown.replace("](docs/", "](")
    return TO_ROOT.sub(r"](\1\2", markdown)
