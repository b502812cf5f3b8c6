"""Texts of the compliance pages, in both languages side by side: law is content, not interface.

They are in content/*.toml, one table for each clause and each check.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from django.utils.translation import get_language

_FOLDER = Path(__file__).with_name("content")


class Text(NamedTuple):
    en: str
    zh: str

    def __str__(self) -> str:
        return self.in_language(get_language() or "en")

    def in_language(self, language: str) -> str:
        return self.zh if language.startswith("zh") else self.en

    def both(self) -> dict[str, str]:
        return {"en": self.en, "zh-hans": self.zh}


NOTHING = Text("", "")


def content(name: str) -> dict[str, Any]:
    """Returns the tables of content/<name>.toml, in which each `en` with its `zh` is a Text."""
    tables = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return {heading: _with_texts(table) for heading, table in tables.items()}


def _with_texts(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "en" in value:
        return Text(**value)
    return {name: _with_texts(part) for name, part in value.items()}
