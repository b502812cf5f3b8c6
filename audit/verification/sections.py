"""A part of the trail by itself, and whether such parts make up a trail that is whole.

How the chains stood before it, a section alone cannot know: it says what it took on trust. Only
where each begins as the one before has ended has everything been verified.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from audit.proof.chain import CheckpointFacts
from audit.verification.chain import BEGINNING, EVER, Chain, Head
from audit.verification.events import Events
from audit.verification.order import Cut
from audit.verification.pruned import Pruned
from audit.verification.report import Report
from audit.verification.spool import Spool
from audit.verification.time_range import TimeRange


@dataclass(frozen=True, slots=True)
class Asked:
    """What is verified, with which public keys, and what may be gone."""

    span: TimeRange
    keys: list[bytes]
    gone: Pruned


class Section(NamedTuple):
    """From one checkpoint to another, and the events between two cuts; without them, everything."""

    first: int = 0
    last: int = EVER
    after: Cut | None = None
    upto: Cut | None = None


@dataclass(slots=True)
class Found:
    """`lacking`: events that may have gone with their months."""

    report: Report
    lacking: int
    anchor: CheckpointFacts | None
    last: CheckpointFacts | None
    first_seal: int | None
    last_seal: int | None
    taken_on_trust: dict[UUID, Head]
    heads: dict[UUID, Head]


def found_in(
    section: Section, asked: Asked, connection: psycopg.Connection[Any], report: Report
) -> Found:
    with Spool() as spool:
        chain = Chain(connection, asked.span, asked.keys, asked.gone, spool, report)
        chain.walk(section.first, section.last)
        events = Events(connection, asked.span, spool, report)
        events.match(section.after, section.upto)
    return Found(
        report=report,
        lacking=chain.gone + events.missing,
        anchor=chain.anchor,
        last=chain.last,
        first_seal=chain.first_seal,
        last_seal=chain.last_seal,
        taken_on_trust=chain.taken_on_trust,
        heads=chain.heads,
    )


def tried(section: Section, asked: Asked, connection: psycopg.Connection[Any]) -> Found | None:
    """None: it cannot be read."""
    try:
        with connection.transaction(force_rollback=True):
            return found_in(section, asked, connection, Report())
    except (psycopg.Error, OverflowError):
        return None


class Whole:
    """Sections in their order, from the first checkpoint on."""

    def __init__(self) -> None:
        self.figures: Counter[str] = Counter()
        self.lacking = 0
        self._heads: dict[UUID, Head] = {}
        self._last: CheckpointFacts | None = None
        self._last_seal: int | None = 0

    def takes(self, found: Found) -> bool:
        """Whether nothing is wrong with the next section, and it goes on from the one before."""
        if not (found.report.ok and self._leads_to(found)):
            return False
        self._heads |= found.heads
        self._last, self._last_seal = found.last, found.last_seal
        self.lacking += found.lacking
        self.figures.update(found.report.figures)
        return True

    def _leads_to(self, found: Found) -> bool:
        if self._last_seal is None or found.first_seal != self._last_seal + 1:
            return False
        return found.anchor == self._last and all(
            self._heads.get(tenant_id, BEGINNING) == head
            for tenant_id, head in found.taken_on_trust.items()
        )
