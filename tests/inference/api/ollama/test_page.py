"""The page of Ollama's API says what the code does."""

import runpy
from pathlib import Path

import pytest

from inference.api.ollama import fields
from inference.api.ollama.options import OPTIONS
from inference.api.ollama.routes import ROUTES

pytestmark = pytest.mark.unit
_SCRIPT = Path(__file__).parents[4] / "docs" / "write_ollama.py"


def test_the_tables_in_the_docs_are_those_that_validate() -> None:
    path, text = runpy.run_path(str(_SCRIPT))["written"]()
    assert path.read_text() == text, "python docs/write_ollama.py"
    known = fields.CHAT | fields.GENERATE | fields.EMBED | fields.EMBEDDINGS | fields.REFUSED
    assert all(f"`{name}`" in text for name in known | OPTIONS)


def test_each_address_is_on_the_page() -> None:
    page = (_SCRIPT.parent / "api" / "ollama.md").read_text()
    assert [path for path in ROUTES if f"{path}`" not in page] == []
