"""Verifies a section of the trail, and checks that sections make up a whole trail.

A section alone cannot know the ends of the chains before it: it reports those that it took on
trust. Only if each section begins where the one before has ended has everything been verified.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import psycopg

from audit.proof.chain import CheckpointFacts
from audit.verification.chain import BEGINNING, EVER, Chain, Terms
from audit.verification.events import Events
from audit.verification.report import Head, SectionResult, VerificationReport
from audit.verification.rows import Cut, Trail
from audit.verification.spool import Spool


class Section(NamedTuple):
    """Checkpoints from `first` to `last`, and the events between two cuts; by default all."""

    first: int = 0
    last: int = EVER
    after: Cut | None = None
    upto: Cut | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """Terms, with the parent's database and its exported snapshot (pg_export_snapshot)."""

    dsn: str
    snapshot: str
    terms: Terms


def verify_section(
    section: Section, terms: Terms, connection: Trail, report: VerificationReport
) -> SectionResult:
    result = SectionResult(report)
    with Spool() as spool:
        Chain(connection, terms, spool, result).walk(section.first, section.last)
        Events(connection, terms.span, spool, result).match(section.after, section.upto)
    return result


def try_section(section: Section, terms: Terms, connection: Trail) -> SectionResult | None:
    """Verifies a section, or returns None if it cannot be read."""
    try:
        with connection.transaction(force_rollback=True):
            return verify_section(section, terms, connection, VerificationReport())
    except (psycopg.Error, OverflowError):
        return None


class Joined:
    """Joins the results of sections in their order, from the first checkpoint on."""

    def __init__(self) -> None:
        self.figures: Counter[str] = Counter()
        self.lacking = 0
        self._heads: dict[UUID, Head] = {}
        self._last: CheckpointFacts | None = None
        self._last_seal: int | None = 0

    def append(self, result: SectionResult) -> bool:
        """Returns False if the section has findings, or does not continue the one before."""
        if not (result.report.ok and self._continues(result)):
            return False
        self._heads |= result.heads
        self._last, self._last_seal = result.last, result.last_seal
        self.lacking += result.lacking
        self.figures.update(result.report.figures)
        return True

    def _continues(self, result: SectionResult) -> bool:
        if self._last_seal is None or result.first_seal != self._last_seal + 1:
            return False
        return result.anchor == self._last and all(
            self._heads.get(tenant_id, BEGINNING) == head
            for tenant_id, head in result.taken_on_trust.items()
        )
