"""Writes the tables of docs/api/ollama.md that the code has: `python docs/write_ollama.py`.

The rest of the page is written by hand. A test compares the tables
(tests/inference/api/ollama/test_page.py).
"""

import os
from collections.abc import Iterable
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

# Django is set up before these.
from docs.field_tables import Row, filled, listed, refused  # noqa: E402
from inference.api.ollama import fields  # noqa: E402
from inference.api.ollama.options import OPTIONS  # noqa: E402

PAGE = Path(__file__).parent / "api" / "ollama.md"


def written() -> tuple[Path, str]:
    """Returns the page and what it has to say."""
    return PAGE, filled(PAGE, _tables())


def _tables() -> dict[str, tuple[str, Iterable[Row]]]:
    chat, generate = fields.CHAT, fields.GENERATE
    own = {name: field for name, field in generate.items() if name not in chat}
    options = {name: (option.rule, option.effect) for name, option in OPTIONS.items()}
    return {
        "chat": ("| field | values | |", listed(chat)),
        "generate": ("| field | values | |", [*listed(own), *refused(fields.REFUSED)]),
        "embed": ("| field | values | |", listed(fields.EMBED | fields.EMBEDDINGS)),
        "options": ("| option | values | |", listed(options)),
    }


if __name__ == "__main__":
    PAGE.write_text(written()[1])
