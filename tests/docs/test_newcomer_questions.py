"""A newcomer finds answers in two steps: `make where`, and the file that it names.

`python -m tests.docs.test_newcomer_questions` prints how many lines each has to look through.
"""

import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
QUESTIONS = tomllib.loads((PROJECT / "tests/docs/newcomer_questions.toml").read_text())["question"]
MOST_LINES = 50


def lines_about(words: str) -> list[str]:
    command = ["make", "--silent", "where", f"W={words}"]
    return subprocess.check_output(command, cwd=PROJECT, text=True, timeout=60).splitlines()


def naming(file: str, lines: list[str]) -> Iterator[str]:
    """Yields the lines that name the file, or stand in it. Tables leave out `platform/`."""
    path = file.removeprefix("platform/")
    folder, _, name = path.rpartition("/")
    for line in lines:
        if path in line or f"`{name}" in line and (folder in line or folder.split("/")[0] in line):
            yield line


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["asks"])
def test_the_file_with_the_answer_is_found_in_one_search(question: dict[str, Any]) -> None:
    lines = lines_about(question["where"])
    assert list(naming(question["file"], lines))
    assert len(lines) <= MOST_LINES, "too many to look through: name the module in a table"
    if question["line"]:
        assert question["line"] in (PROJECT / question["file"]).read_text()


if __name__ == "__main__":
    for each in QUESTIONS:
        lines = lines_about(each["where"])
        hits = len(list(naming(each["file"], lines)))
        print(f"{hits} of {len(lines):2} lines name it: {each['asks']}")
