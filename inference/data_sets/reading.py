"""Texts of a version for people who may read them: samples, and the whole of it. On record."""

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from audit.actions import Action
from audit.trail.record import checked_reason
from inference.data_sets import chunks, rows
from inference.data_sets.rows import with_person
from inference.models import ChunkPart, DataSetVersion

SAMPLES, LONGEST_SAMPLE = 5, 4_000  # characters


class Sample(NamedTuple):
    text: str
    is_whole: bool


def samples(version: DataSetVersion, *, by: str, reason: str) -> list[Sample]:
    """Returns some rows, the same each time, and records that. Raises ValidationError."""
    reason = checked_reason(reason)
    parts = version.chunks.exclude(part=ChunkPart.UPLOAD).values_list("pk", flat=True)
    picked = sorted(parts, key=lambda pk: sha256(f"{version.pk}{pk}".encode()).digest())[:SAMPLES]
    lines = [row.line for pk in picked for row in list(chunks.rows_of(version, pk))[:SAMPLES]]
    version.record(Action.DATA_SET_READ, by, reason=reason, rows=len(lines[:SAMPLES]))
    return [_sample(rows.text_of(line)) for line in lines[:SAMPLES]]


def whole(version: DataSetVersion, *, by: str, reason: str) -> Iterator[bytes]:
    """Records the export of a version, and returns its lines. Raises ValidationError."""
    version.record(Action.DATA_SET_READ, by, reason=checked_reason(reason), rows="all")
    return lines(version)


def lines(version: DataSetVersion, part: ChunkPart | None = None) -> Iterator[bytes]:
    """Yields lines of JSON; `person` is the pseudonym of whoever wrote a row."""
    for each in [part] if part else [ChunkPart.TRAIN, ChunkPart.HELD_OUT]:
        for row in chunks.rows(version, each):
            yield with_person(row) + b"\n"


def _sample(text: str) -> Sample:
    return Sample(text[:LONGEST_SAMPLE], len(text) <= LONGEST_SAMPLE)
