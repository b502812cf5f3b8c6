"""Each path that docs/architecture.md and CONTRIBUTING.md name is there.

Their paths may begin under inference/ or platform/, which the page says at its top. A bare name
stands beside the folder that it is in, and a table's first row may name the folder of all others.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")
ROOTS = [PROJECT, PROJECT / "inference", PROJECT / "platform"]
APPS = [PROJECT / name for name in ("audit", "tenants", "inference", "platform/console")]
OF_AN_APP = re.compile(r"the app's|of its package")
PART = re.compile(r"\n(?=\||- |\d+\. )")  # rows of a table, items of a list
NAMED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(
    r"(?P<path>[\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|lua|sql|md|toml|yaml|json)))"
    r"(?:: (?P<word>\w[\w.]*))?"
)


@pytest.mark.parametrize("page", PAGES)
def test_each_named_path_is_there(page: str) -> None:
    assert list(missing((PROJECT / page).read_text())) == []


def missing(text: str) -> Iterator[str]:
    """Yields the paths of a page that lead nowhere, and words that their file does not have."""
    for block in text.split("\n\n"):
        of_block: list[Path] = []  # the folders that its first part names
        for number, part in enumerate(PART.split(block)):
            folders = [*ROOTS, *of_block, *(APPS if OF_AN_APP.search(part) else ())]
            for named in NAMED.findall(part):
                if not (match := PATH.fullmatch(named)):
                    continue
                file = _resolved(match["path"], folders)
                if file is None or not _has(file, match["word"]):
                    yield named
                else:
                    folders += [each for each in (file, *file.parents) if PROJECT in each.parents]
            if number == 0:
                of_block = folders[len(ROOTS) :]


def _resolved(path: str, folders: list[Path]) -> Path | None:
    return next((folder / path for folder in folders if (folder / path).exists()), None)


def _has(file: Path, word: str | None) -> bool:
    return word is None or all(part in file.read_text() for part in word.split("."))


def test_a_path_that_is_gone_is_noticed() -> None:
    assert list(missing("| a price | `tenants/quotas/prices.py` |")) == ["tenants/quotas/prices.py"]
    assert list(missing("`audit/trail/`: `record.py`, `gone.py`")) == ["gone.py"]
    assert list(missing("`record/statements.py: GONE`")) == ["record/statements.py: GONE"]
    assert list(missing("`intake/submit.py`, and `record/statements.py: RECEIVED`")) == []
    assert list(missing("| `audit/` | |\n|---|---|\n| `trail/` | |\n| `gone/` | |")) == ["gone/"]
