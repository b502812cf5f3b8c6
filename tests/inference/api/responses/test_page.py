"""The page of the Responses API says what the code does."""

import re
import runpy
from pathlib import Path

import pytest

from inference.api.responses.fields import FIELDS, REFUSED
from inference.api.responses.routes import ROUTES
from inference.api.responses.tools import REFUSED_TOOLS

pytestmark = pytest.mark.unit
_SCRIPT = Path(__file__).parents[4] / "docs" / "write_responses.py"


def test_the_tables_in_the_docs_are_those_that_validate() -> None:
    path, text = runpy.run_path(str(_SCRIPT))["written"]()
    assert path.read_text() == text, "python docs/write_responses.py"
    first_cells = " ".join(re.findall(r"^\| ([^|]+) \|", text, re.M))
    assert all(f"`{name}`" in first_cells for name in FIELDS | REFUSED | REFUSED_TOOLS)


def test_the_page_has_each_path() -> None:
    page = (_SCRIPT.parent / "api" / "responses.md").read_text()
    ends = [path.removeprefix("/v1/responses/{id}") for path in ROUTES]
    assert all(end in page for end in ends)
