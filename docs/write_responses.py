"""Writes the tables of docs/api/responses.md that the code has: `python docs/write_responses.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/responses/test_page.py).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

# Django is set up before these.
from docs.field_tables import Row, filled, listed, refused  # noqa: E402
from inference.api.responses.content import PARTS  # noqa: E402
from inference.api.responses.fields import FIELDS, REFUSED  # noqa: E402
from inference.api.responses.items import ITEMS  # noqa: E402
from inference.api.responses.tools import (  # noqa: E402
    CHOICES,
    FIELDS_OF_TOOLS,
    REFUSED_TOOLS,
    TOOLS,
)

PAGE = Path(__file__).parent / "api" / "responses.md"


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    return PAGE, filled(PAGE, _tables())


def _tables() -> dict[str, tuple[str, Iterable[Row]]]:
    parts = [(name, ", ".join(part.roles), part.effect) for name, part in PARTS.items()]
    tools = [(name, f"refused: {reason}") for name, reason in REFUSED_TOOLS.items()]
    return {
        "fields": ("| field | values | |", [*listed(FIELDS), *refused(REFUSED)]),
        "items": ("| item | |", ITEMS.items()),
        "parts": ("| part | in messages of | |", parts),
        "tools": ("| type of a tool | |", [*TOOLS.items(), *tools]),
        "of_tools": ("| field of a tool | |", FIELDS_OF_TOOLS.items()),
        "choices": ("| `tool_choice` | |", CHOICES.items()),
    }


if __name__ == "__main__":
    PAGE.write_text(written()[1])
