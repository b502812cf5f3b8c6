"""Each path that docs/architecture.md, CONTRIBUTING.md and comments of the product name is there.

Their paths may begin under inference/ or platform/, which the page says at its top. A bare name
stands beside the folder that it is in, and a table's first row may name the folder of all others.
"""

import ast
import io
import re
import tokenize
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


PRODUCT = (
    "audit",
    "tenants",
    "inference",
    "infrastructure",
    "platform/config",
    "platform/console",
    "trainer",
)
FILE = re.compile(r"(?<![\w./<>{}*-])((?:[\w-]+/)*[\w-]+\.(?:py|lua|sql))(?![\w/])")


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
    assert list(missing("`record/sql_statements.py: GONE`")) == ["record/sql_statements.py: GONE"]
    assert list(missing("`intake/submit.py`, and `record/sql_statements.py: RECEIVED`")) == []
    assert list(missing("| `audit/` | |\n|---|---|\n| `trail/` | |\n| `gone/` | |")) == ["gone/"]


@pytest.mark.parametrize("package", PRODUCT)
def test_each_file_that_a_comment_names_is_there(package: str) -> None:
    app = PROJECT / package
    modules = (each for each in app.rglob("*.py") if "migrations" not in each.parts)
    texts = ((each, text) for each in modules for text in _prose(each.read_text()))
    assert [
        f"{module.relative_to(PROJECT)}: {name}"
        for module, text in texts
        for name in _missing_files(text, module.parent, app)
    ] == []


def _prose(source: str) -> Iterator[str]:
    """Yields the docstrings and comments of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def _missing_files(text: str, folder: Path, app: Path) -> list[str]:
    """Returns the files that are not there.

    A path with a slash begins at the top, below platform/ or in the app. A bare name is a file
    beside the module, or manage.py at the top.
    """
    roots = PROJECT, PROJECT / "platform", app
    return [
        name
        for name in FILE.findall(text)
        if not any((root / name).exists() for root in (roots if "/" in name else (folder,)))
        and name != "manage.py"
    ]


def test_a_comment_about_a_file_that_is_gone_is_noticed() -> None:
    app = PROJECT / "inference"
    assert _missing_files("see fair_line.py", app / "record", app) == ["fair_line.py"]
    assert _missing_files("see `record/gone.py`", app / "record", app) == ["record/gone.py"]
    assert _missing_files("record/settle.py", app / "worker", app) == []
    assert _missing_files("see settle.py, audit/tasks.py", app / "record", app) == []
    prose = list(_prose('"""In a.py."""\nx = "b.py"  # c.py\n'))
    assert prose == ["In a.py.", "# c.py"]
