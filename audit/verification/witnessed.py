"""Checkpoints as a witness outside the database has heard them: has the database the same?"""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import psycopg

from audit.keys import signing
from audit.proof.chain import CHECKPOINT, CheckpointFacts
from audit.verification.chain import CHECKPOINTS, CheckpointRow
from audit.verification.report import Report
from audit.verification.restores import restores

_CHUNK = 1000
_FIRST = "select at from audit_checkpoint order by n limit 1"
TOLD_WITHIN = timedelta(seconds=60)  # a witness that did not answer is asked again after 20


class Heard(NamedTuple):
    """One line of a witness."""

    facts: CheckpointFacts
    key_id: str
    signature: bytes


class Witness:
    """`lines` are JSON, one checkpoint each; a line may come twice, one may be torn."""

    def __init__(self, name: str, lines: Iterable[bytes], told: int = 0) -> None:
        """`told`: the last checkpoint that it must know."""
        self.name, self.told, self.lines = name, told, lines
        self._differs = False

    def check(
        self, connection: psycopg.Connection[Any], keys: Iterable[bytes], report: Report
    ) -> None:
        known = {signing.key_id(key): key for key in keys}
        last, before = 0, report.found
        heard = self._heard(report)
        while some := list(islice(heard, _CHUNK)):
            ours = _ours(connection, some)
            for one in some:
                last = self._in_order(one.facts.n, last, report)
                self._compare(one, ours.get(one.facts.n), known, report)
        if last < self.told:
            text = f"{self.name} has lost what came after checkpoint {last}"
            report.add("witness_lost", text, checkpoint=last)
        if not last and report.found == before:
            self._knows_none(connection, report)
        if self._differs:
            report.notes += restores(connection)

    def _knows_none(self, connection: psycopg.Connection[Any], report: Report) -> None:
        """A new installation tells its witnesses a moment after it has signed something."""
        first = connection.execute(_FIRST).fetchone()
        if first and datetime.now(UTC) - first[0] > TOLD_WITHIN:
            report.add("witness_lost", f"{self.name} knows none of our checkpoints")
        elif first:
            report.notes.append(f"{self.name} has not heard of the first checkpoint yet")

    def _heard(self, report: Report) -> Iterator[Heard]:
        for line in self.lines:
            try:
                yield heard(line)
            except (ValueError, KeyError, TypeError, OverflowError):
                report.notes.append(f"{self.name} has a line that is no checkpoint")

    def _in_order(self, n: int, last: int, report: Report) -> int:
        """A witness hears all of them from the first one on."""
        if n > last + 1:
            text = f"{self.name} lacks the checkpoints between {last} and {n}"
            report.add("witness_lost", text, checkpoint=n)
        return max(n, last)

    def _compare(
        self, one: Heard, ours: CheckpointRow | None, known: dict[str, bytes], report: Report
    ) -> None:
        report.count("witnessed")
        if ours and (ours.facts, ours.key_id, ours.signature) == tuple(one):
            return
        key = known.get(one.key_id)
        if key is None or not signing.verify(one.facts.text, one.signature, CHECKPOINT, key):
            what = "has a checkpoint {} that is not signed by us"
        elif ours is None:
            what = "knows checkpoint {}, which the database has not"
        else:
            what = "knows another checkpoint {} than the database"
        n = one.facts.n
        self._differs = True
        report.add("witness_differs", f"{self.name} {what.format(n)}", checkpoint=n)


def heard(line: bytes) -> Heard:
    """Raises ValueError, KeyError or TypeError."""
    found = json.loads(line)
    return Heard(
        CheckpointFacts(
            int(found["n"]),
            int(found["size"]),
            bytes.fromhex(found["root"]),
            bytes.fromhex(found["previous"]),
            int(found["at_us"]),
        ),
        str(found["key_id"]),
        base64.b64decode(found["signature"], validate=True),
    )


def _ours(connection: psycopg.Connection[Any], some: list[Heard]) -> dict[int, CheckpointRow]:
    numbers = [one.facts.n for one in some]
    asked = {"first": min(numbers), "last": max(numbers)}
    found = connection.execute(CHECKPOINTS, asked, binary=True)
    return {row[0]: CheckpointRow(*row) for row in found}
