"""What a label may say. Whatever a client sent, there is no value that nobody has foreseen."""

from collections.abc import Callable, Container
from dataclasses import dataclass

OTHER = "other"
NOTHING = ""  # to Prometheus, a label without a value is none


class Words(set[str]):
    """Values that several modules add to as they are loaded: who knows one names it."""


def _anything() -> Container[str]:
    return _Anything()


class _Anything:
    def __contains__(self, word: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Label:
    """`words`: what it may say, asked for when a value is new. All else is OTHER. `known`: all of
    them, where they never change.
    """

    name: str
    words: Callable[[], Container[str]]
    known: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, *words: str) -> "Label":
        among = frozenset(words)
        return cls(name, lambda: among, words)

    def bounded(self, value: str) -> str:
        return value if value == NOTHING or value in self.words() else OTHER


# For names in tables of ours, of which there are few; a family's own bound holds all the same.
ANY_OF_FEW = _anything
