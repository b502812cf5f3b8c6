"""Texts of the compliance pages, in both languages side by side: law is content, not interface."""

from typing import NamedTuple

from django.utils.translation import get_language


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
