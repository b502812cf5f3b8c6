"""Compares the database's checkpoints with those that a witness outside it has received."""

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

from audit.keys import signing
from audit.proof.chain import CHECKPOINT, CheckpointFacts
from audit.verification.chain import CHECKPOINTS, CheckpointRow
from audit.verification.report import VerificationReport
from audit.verification.rows import Trail

_CHUNK = 1000
_RESTORES = """
    select at, (detail->>'lost_checkpoints')::bigint, (detail->>'checkpoint')::bigint
    from audit_event where action = 'audit:resume' and detail->>'lost_checkpoints' <> '0'
    order by at"""
_FIRST = "select at from audit_checkpoint order by n limit 1"
DELIVERED_WITHIN = timedelta(seconds=60)  # a delivery that fails is repeated after 20 seconds


class WitnessLine(NamedTuple):
    """One line of a witness, about one checkpoint."""

    facts: CheckpointFacts
    key_id: str
    signature: bytes


class Witness:
    """A witness's lines: JSON, one checkpoint each; lines may repeat, and one may be cut off.

    `delivered`: the last checkpoint that it must know.
    """

    def __init__(self, name: str, lines: Iterable[bytes], delivered: int = 0) -> None:
        self.name, self.delivered, self.lines = name, delivered, lines
        self._differs = False

    def check(self, connection: Trail, keys: Iterable[bytes], report: VerificationReport) -> None:
        known = {signing.key_id(key): key for key in keys}
        last, before = 0, report.found
        lines = self._parsed(report)
        while chunk := list(islice(lines, _CHUNK)):
            ours = _our_rows(connection, chunk)
            for line in chunk:
                last = self._check_order(line.facts.n, last, report)
                self._compare(line, ours.get(line.facts.n), known, report)
        if last < self.delivered:
            text = f"{self.name} has lost what came after checkpoint {last}"
            report.add("witness_lost", text, checkpoint=last)
        if not last and report.found == before:
            self._knows_none(connection, report)
        if self._differs:
            report.notes += _restores(connection)

    def _knows_none(self, connection: Trail, report: VerificationReport) -> None:
        """Reports a witness that knows no checkpoint, except right after the first was signed."""
        first = connection.execute(_FIRST).fetchone()
        if first and datetime.now(UTC) - first[0] > DELIVERED_WITHIN:
            report.add("witness_lost", f"{self.name} knows none of our checkpoints")
        elif first:
            report.notes.append(f"{self.name} has not heard of the first checkpoint yet")

    def _parsed(self, report: VerificationReport) -> Iterator[WitnessLine]:
        for line in self.lines:
            try:
                yield parse_line(line)
            except (ValueError, KeyError, TypeError, OverflowError):
                report.notes.append(f"{self.name} has a line that is no checkpoint")

    def _check_order(self, n: int, last: int, report: VerificationReport) -> int:
        """Reports a gap in the numbers, as a witness receives all from the first one on."""
        if n > last + 1:
            text = f"{self.name} lacks the checkpoints between {last} and {n}"
            report.add("witness_lost", text, checkpoint=n)
        return max(n, last)

    def _compare(
        self,
        line: WitnessLine,
        ours: CheckpointRow | None,
        known: dict[str, bytes],
        report: VerificationReport,
    ) -> None:
        report.count("witnessed")
        if ours and (ours.facts, ours.key_id, ours.signature) == tuple(line):
            return
        key = known.get(line.key_id)
        if key is None or not signing.verify(line.facts.text, line.signature, CHECKPOINT, key):
            what = "has a checkpoint {} that is not signed by us"
        elif ours is None:
            what = "knows checkpoint {}, which the database has not"
        else:
            what = "knows another checkpoint {} than the database"
        n = line.facts.n
        self._differs = True
        report.add("witness_differs", f"{self.name} {what.format(n)}", checkpoint=n)


def parse_line(line: bytes) -> WitnessLine:
    """Parses a line. Raises ValueError, KeyError or TypeError."""
    fields = json.loads(line)
    return WitnessLine(
        CheckpointFacts(
            int(fields["n"]),
            int(fields["size"]),
            bytes.fromhex(fields["root"]),
            bytes.fromhex(fields["previous"]),
            int(fields["at_us"]),
        ),
        str(fields["key_id"]),
        base64.b64decode(fields["signature"], validate=True),
    )


def _restores(connection: Trail) -> Iterator[str]:
    """Yields recorded restores, which explain checkpoints that only a witness knows."""
    for at, lost, checkpoint in connection.execute(_RESTORES):
        yield (
            f"audit:resume of {at:%Y-%m-%d %H:%M:%S} says that a restore lost the {lost} "
            f"checkpoints after {checkpoint}, which a witness had heard"
        )


def _our_rows(connection: Trail, lines: list[WitnessLine]) -> dict[int, CheckpointRow]:
    numbers = [line.facts.n for line in lines]
    values = {"first": min(numbers), "last": max(numbers)}
    rows = connection.execute(CHECKPOINTS, values, binary=True)
    return {row[0]: CheckpointRow(*row) for row in rows}
