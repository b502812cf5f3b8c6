"""Translates English texts of logs, records and configuration's problems for a reader."""

import re
from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop


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


# Problems of pools' policies (pool_policy.py), then of engines (registry/checking.py).
_PROBLEMS = Wordings(
    [
        gettext_noop("there is no class %s, only %s"),
        gettext_noop("must be an object"),
        gettext_noop("%s is none of %s"),
        gettext_noop("must be a whole number from 0 to %s"),
        gettext_noop("overflow begins after how many milliseconds of wait?"),
        gettext_noop("all shares together must be at most %s"),
        gettext_noop("%s may hold %s and %s"),
        gettext_noop("%s of %s must be 1 to %s"),
        gettext_noop("%s of %s must be more than 0 and at most %s"),
        gettext_noop("%s of %s must be 0 to %s slots"),
        gettext_noop("%s of %s must be 0 to %s"),
        gettext_noop("it opens and closes at the same time"),
        gettext_noop("its ramp is longer than half of it, or a number is negative"),
        gettext_noop("it has hours, ramp_minutes and outside, not %s"),
        gettext_noop('`hours` must be a text like "22:00-06:00"'),
        gettext_noop("ramp_minutes and outside must be whole numbers"),
        gettext_noop("%s is no time of day like 22:00"),
        gettext_noop("%s must be %s to %s seconds"),
        gettext_noop("model must be 1 to %s printable characters"),
        gettext_noop("%s must be %s to %s"),
        gettext_noop("normal_form must be empty or one of %s"),
        gettext_noop("unknown capability %s; known are %s"),
        gettext_noop("capabilities must be an object like %s"),
        gettext_noop("Expected %s, got %s - at %s"),
        gettext_noop("a name is %s characters too long"),
        gettext_noop("adapters must be ids of versions"),
        gettext_noop("the url must begin with http:// or https:// and name a host"),
        gettext_noop("the url holds a blank, a line break or a character beyond ASCII"),
        gettext_noop("the url must name its host by a name or an address"),
        gettext_noop(
            "the api_key holds a line break or a character beyond ASCII, or a blank at its ends"
        ),
        gettext_noop(
            "an engine's address must not be link-local, multicast or a metadata service's"
        ),
        gettext_noop(
            "its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted"
        ),
    ]
)
_ENGINE_NAME = re.compile(r"^engine '[^']*': ")


def in_words(problem: str) -> str:
    """Returns the translated problem of an entry or a policy; an unknown one unchanged."""
    return _PROBLEMS.of(_ENGINE_NAME.sub("", problem)) or problem
