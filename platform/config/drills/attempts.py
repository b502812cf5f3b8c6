"""The requests of clients during a drill, and the answers to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise


class Outcome(StrEnum):
    ANSWERED = "answered"  # it is on record, or the platform has lost it
    REFUSED = "refused"  # with an error that says so
    UNKNOWN = "unknown"  # the connection broke, or the answer did; asked again


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request of a client, once. Times are seconds since 1970, of the client's clock."""

    door: str
    client: str
    began: float
    ended: float
    outcome: Outcome
    ids: tuple[str, ...] = ()  # of the answered requests: a batch has several
    detail: str = ""
    request: str = ""  # its client's name for it, the same each time it is asked
    size: int = 1  # of a batch: its lines
    may_have_run: bool = True  # unless it was refused before anything began


def answered(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Returns the answered ones, in the order of their ends."""
    return sorted(
        (each for each in attempts if each.outcome is Outcome.ANSWERED), key=lambda each: each.ended
    )


def longest_gap(attempts: Iterable[Attempt], broken_at: float, until: float) -> float:
    """Returns the longest time without an answer: RTO, from the last answer before the break on.

    A gap that lasts to the end counts up to `until`.
    """
    moments = [each.ended for each in answered(attempts) if each.ended <= until]
    before = [moment for moment in moments if moment <= broken_at]
    after = [moment for moment in moments if moment > broken_at]
    points = [max(before, default=broken_at), *after, until]
    return max(later - earlier for earlier, later in pairwise(points))


def first_after(attempts: Iterable[Attempt], moment: float, until: float) -> float:
    """Returns the time from a moment to the first answer after it, or to `until`."""
    later = (each.ended for each in answered(attempts) if each.ended > moment)
    return min([*later, until]) - moment


def by_door(attempts: Sequence[Attempt]) -> dict[str, list[Attempt]]:
    doors: dict[str, list[Attempt]] = {}
    for each in attempts:
        doors.setdefault(each.door, []).append(each)
    return doors
