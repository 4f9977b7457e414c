"""The questions of docs/questions.md: each with its query, its answer, and its block on the page."""

import re
import shlex
from dataclasses import dataclass

from include.settings import PROJECT_ROOT

TEXT = (PROJECT_ROOT / "docs" / "questions.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Question:
    """What stands below a heading; `answer` is a table as `make query` prints it."""

    title: str
    sql: str
    answer: str
    block_title: str
    block: str


def _question(section: str) -> Question:
    title, rest = section.split("\n", 1)
    (command,) = re.findall(r"^```bash\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
    make, query, sql = shlex.split(command)
    assert (make, query) == ("make", "query")
    answer = "".join(re.findall(r"^\|.*\n", rest, re.MULTILINE))
    ((block_title, block),) = re.findall(
        r"^On the page: \*\*(.+)\*\* \(`insights/#(\w+)`\)", rest, re.MULTILINE
    )
    return Question(title.rstrip("?"), sql.removeprefix("SQL="), answer, block_title, block)


QUESTIONS = [
    _question(one) for one in re.findall(r"^## \d\. (.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
]
assert len(QUESTIONS) == 8
