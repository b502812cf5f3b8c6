"""Translates English texts of logs and records for a reader, if their patterns are known."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _


class Wordings:
    """Texts with `%s` for variable parts, each marked for translation (gettext_noop)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = [(re.compile(_pattern(text)), text) for text in texts]

    def of(self, message: str) -> str | None:
        """Returns the translation by the first matching pattern; None without one."""
        for pattern, text in self._patterns:
            if match := pattern.fullmatch(message):
                return _(text) % match.groups() if match.groups() else _(text)
        return None


def _pattern(text: str) -> str:
    return re.escape(text).replace("%s", "(.+)")
