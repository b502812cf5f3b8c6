"""Compares what clients heard with what is on record, in the manner of Jepsen's checkers.

Each answered request is on record once, and those of one client in the order in which it asked:
it asked for the next when the last was answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.drills.attempts import Attempt, answered


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as the database has it; `position` grows with each."""

    times: int
    position: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of the record before a drill: the newest event, or row, and the newest seal."""

    event: int = 0
    seal: int = 0


@dataclass(frozen=True, slots=True)
class Consistency:
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.doubled or self.out_of_order)


def compare(
    attempts: Sequence[Attempt], record: Mapping[str, Recorded], others: Sequence[str] = ()
) -> Consistency:
    """Compare all attempts of a drill with the record.

    `others`: completions of the same time that nobody was answered with. Each belongs to a request
    that may have run, and whose client got no answer. If there are more, one has run twice.
    """
    ids = [name for each in answered(attempts) for name in each.ids]
    heard = [name for name in ids if name in record]
    return Consistency(
        acknowledged=len(ids),
        lost=[name for name in ids if name not in record or record[name].times < 1],
        doubled=[
            *(name for name in heard if record[name].times > 1),
            *_answered_twice(attempts),
            *others[_unanswered(attempts) :],
        ],
        out_of_order=_out_of_order(attempts, record),
    )


def _answered_twice(attempts: Sequence[Attempt]) -> list[str]:
    """Returns ids that two different requests were answered with."""
    earlier_ids: set[str] = set()
    twice = []
    for each in answered(attempts):
        twice += [name for name in each.ids if name in earlier_ids]
        earlier_ids.update(each.ids)
    return twice


def _unanswered(attempts: Sequence[Attempt]) -> int:
    """Returns how many completions may have run whose answers their clients did not get."""
    sizes = {each.request: each.size for each in attempts if each.may_have_run}
    for each in answered(attempts):
        sizes.pop(each.request, None)
    return sum(sizes.values())


def _out_of_order(attempts: Sequence[Attempt], record: Mapping[str, Recorded]) -> list[str]:
    """Returns requests that are on record before one that their client asked for earlier."""
    last: dict[str, int] = {}
    wrong = []
    for each in answered(attempts):
        positions = [record[name].position for name in each.ids if name in record]
        if positions and min(positions) < last.get(each.client, 0):
            wrong.append(each.ids[0])
        last[each.client] = max([last.get(each.client, 0), *positions])
    return wrong
