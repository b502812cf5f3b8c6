"""`make soak` and `make soak-models` run every test that is marked for them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
FOR_ALL = {"tests/soak.py", "tests/conftest.py"}  # what these read holds for all tests


def recipe() -> str:
    makefile = (PROJECT / "Makefile").read_text()
    recipes: list[str] = re.findall(r"^soak(?:-models)?: .*\n((?:\t.*\n)+)", makefile, re.M)
    return "".join(recipes)


def files() -> Iterator[Path]:
    """The Python files under their paths; of `file::test` the whole file."""
    for name in re.findall(r"\btests(?:/[\w.]+)+", recipe()):
        path = PROJECT / name
        assert path.exists(), f"make soak names {name}, which is not there"
        yield from path.rglob("*.py") if path.is_dir() else [path]


FILES = set(files())


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"\b(FOREBAY_\w+)=", recipe()))))
def test_each_variable_that_they_set_is_read_by_a_test_that_they_run(variable: str) -> None:
    readers = FILES | {PROJECT / name for name in FOR_ALL}
    assert any(f'"{variable}"' in path.read_text() for path in readers)


def test_each_single_test_that_they_name_is_there() -> None:
    for name, test in re.findall(r"\b(tests/[\w/.]+)::(\w+)", recipe()):
        assert f"def {test}(" in (PROJECT / name).read_text()


def test_each_file_with_the_mark_is_among_their_paths() -> None:
    marked = {
        path
        for path in (PROJECT / "tests").rglob("test_*.py")
        if re.search(r"pytest\.mark\.soak\b", path.read_text())
    }
    assert marked
    assert marked <= FILES
