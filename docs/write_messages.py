"""Writes the tables of docs/api/messages.md that the code has: `python docs/write_messages.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/anthropic/test_page.py).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

# Django is set up before these.
from docs.field_tables import Row, filled, listed, refused  # noqa: E402
from inference.api.anthropic.blocks import BLOCKS  # noqa: E402
from inference.api.anthropic.fields import FIELDS, REFUSED  # noqa: E402
from inference.api.anthropic.requests import THINKING  # noqa: E402
from inference.api.anthropic.tools import CHOICES, TOOL_FIELDS  # noqa: E402

PAGE = Path(__file__).parent / "api" / "messages.md"


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    return PAGE, filled(PAGE, _tables())


def _tables() -> dict[str, tuple[str, Iterable[Row]]]:
    blocks = [(name, ", ".join(block.roles), block.effect) for name, block in BLOCKS.items()]
    return {
        "fields": ("| field | values | |", [*listed(FIELDS), *refused(REFUSED)]),
        "thinking": ("| `thinking.type` | |", THINKING.items()),
        "tools": ("| field of a tool | |", TOOL_FIELDS.items()),
        "choices": ("| `tool_choice.type` | |", CHOICES.items()),
        "blocks": ("| block | in messages of | |", blocks),
    }


if __name__ == "__main__":
    PAGE.write_text(written()[1])
