"""The page of the Messages API says what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from inference.api.anthropic.errors import type_of
from inference.api.anthropic.fields import FIELDS, REFUSED

pytestmark = pytest.mark.unit
_SCRIPT = Path(__file__).parents[4] / "docs" / "write_messages.py"


def test_the_tables_in_the_docs_are_those_that_validate() -> None:
    path, text = runpy.run_path(str(_SCRIPT))["written"]()
    assert path.read_text() == text, "python docs/write_messages.py"
    first_cells = " ".join(re.findall(r"^\| ([^|]+) \|", text, re.M))
    assert all(f"`{name}`" in first_cells for name in FIELDS | REFUSED)


def test_the_types_of_errors_are_those_of_the_page() -> None:
    page = (_SCRIPT.parent / "api" / "messages.md").read_text()
    table = page.partition("| status | `type` | |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    listed = {int(status): row[2].strip(" `") for row in rows for status in row[1].split(",")}
    assert listed
    assert {status: type_of(status) for status in listed} == listed
