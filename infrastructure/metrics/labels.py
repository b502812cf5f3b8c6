"""The values that labels may have. Text from clients never becomes a new value."""

from collections.abc import Callable, Container
from dataclasses import dataclass

OTHER = "other"
NOTHING = ""  # Prometheus treats an empty label as absent


class Words(set[str]):
    """A set of values to which modules add their own while they are imported."""


def _anything() -> Container[str]:
    return _Anything()


class _Anything:
    def __contains__(self, word: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Label:
    """A label. `words` returns the allowed values, called when a value is new; any other becomes
    OTHER.

    `known` lists all values if they never change.
    """

    name: str
    words: Callable[[], Container[str]]
    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, *words: str) -> "Label":
        allowed = frozenset(words)
        return cls(name, lambda: allowed, words)

    def bounded(self, value: str) -> str:
        return value if value == NOTHING or value in self.words() else OTHER


# For names from our own tables, of which there are few; the family's bound on children still holds.
ANY_OF_FEW = _anything
