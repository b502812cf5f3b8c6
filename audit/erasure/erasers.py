"""The stores that hold personal data. Each app registers its own in `ready()`.

Erasers may run any number of times: after a crash, and after a restored backup brought data back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.functional import Promise

Evidence = dict[str, Any]  # fit for JSON; numbers add up when a store has to be gone through again


class ErasureTurn(IntEnum):
    """The order of stores: running work ends first, the link to a person's identity goes last."""

    RUNNING = 1
    KEYS = 2
    CONTENT = 3
    RECIPIENTS = 4
    IDENTITY = 5


@dataclass(frozen=True, slots=True)
class Eraser:
    """A store. `erase` and `verify` take the tenant's and the subject's id, inside a transaction.

    `verify` returns how many entries remain. An erasure that is not possible yet raises an
    exception, for example because a recipient does not answer. A store with a `portion` erases
    about so many entries in one call: an open transaction delays all seals.
    """

    name: str
    label: Promise
    turn: ErasureTurn
    erase: Callable[[UUID, UUID], Evidence]
    verify: Callable[[UUID, UUID], int]
    stops_processing: bool = False  # also runs if the data is only restricted
    is_brief: bool = False  # empties itself within days after the last request
    portion: int = 0  # entries; 0: one call of `erase` takes all

    def is_portion(self, evidence: Evidence) -> bool:
        """Returns whether more may be left after a call of `erase` that returned this."""
        numbers = [value for value in evidence.values() if isinstance(value, int)]
        return 0 < self.portion <= sum(numbers)

    def erase_all(self, tenant_id: UUID, subject_id: UUID) -> Evidence:
        """Erases all portions in the open transaction."""
        evidence = portion = self.erase(tenant_id, subject_id)
        while self.is_portion(portion):
            portion = self.erase(tenant_id, subject_id)
            evidence = merge_evidence(evidence, portion)
        return evidence


_known: dict[str, Eraser] = {}


def register(eraser: Eraser) -> None:
    _known[eraser.name] = eraser


def in_order() -> list[Eraser]:
    return sorted(_known.values(), key=lambda eraser: (eraser.turn, eraser.name))


def find(name: str) -> Eraser | None:
    """Returns the eraser, or None for a store of an earlier version."""
    return _known.get(name)


def stored(tenant_id: UUID, subject_id: UUID) -> list[tuple[Eraser, int]]:
    """Counts the entries that an erasure would find now, of stores with contents that have any."""
    stores = [eraser for eraser in in_order() if eraser.turn == ErasureTurn.CONTENT]
    counts = [(eraser, eraser.verify(tenant_id, subject_id)) for eraser in stores]
    return [(eraser, count) for eraser, count in counts if count]


def some(rows: QuerySet[Any], most: int) -> QuerySet[Any]:
    """Returns `most` of the rows, for a portion."""
    chosen: QuerySet[Any] = rows.model._base_manager.all()
    return chosen.filter(pk__in=list(rows.values_list("pk", flat=True)[:most]))


def label(name: str) -> str:
    eraser = find(name)
    return str(eraser.label) if eraser else name


def merge_evidence(earlier: Evidence, later: Evidence) -> Evidence:
    """Returns the evidence of two rounds through a store, with numbers and lists added up."""
    merged = dict(earlier)
    for name, value in later.items():
        adds_up = isinstance(value, int | list) and isinstance(merged.get(name), type(value))
        merged[name] = merged[name] + value if adds_up else value
    return merged
