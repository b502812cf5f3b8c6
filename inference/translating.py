"""What logs and records say in English, in the reader's language where that has been foreseen."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _


class Wordings:
    """Texts with `%s` for what varies, each marked for translation (gettext_noop)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._patterns = [(re.compile(_pattern(text)), text) for text in texts]

    def of(self, said: str) -> str | None:
        """The first that fits goes; None where none does."""
        for pattern, text in self._patterns:
            if found := pattern.fullmatch(said):
                return _(text) % found.groups() if found.groups() else _(text)
        return None


def _pattern(text: str) -> str:
    return re.escape(text).replace("%s", "(.+)")
