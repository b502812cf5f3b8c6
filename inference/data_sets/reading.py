"""Texts of a version for people who may read them: samples, and the whole of it. On record."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.trail.record import checked_reason
from inference.data_sets import chunks, encryption, rows
from inference.data_sets.rows import with_person
from inference.models import ChunkPart, DataSetState, DataSetVersion

SAMPLES, LONGEST_SAMPLE = 5, 4_000  # characters
_PARTS = (ChunkPart.TRAIN, ChunkPart.HELD_OUT)


class Sample(NamedTuple):
    text: str
    is_whole: bool


def samples(version: DataSetVersion, *, by: str, reason: str) -> list[Sample]:
    """Returns some rows, the same each time, and records that. Raises ValidationError."""
    reason = _checked(version, reason)
    parts = version.chunks.filter(part__in=_PARTS).values_list("pk", flat=True)
    picked = sorted(parts, key=lambda pk: sha256(f"{version.pk}{pk}".encode()).digest())[:SAMPLES]
    lines = [row.line for pk in picked for row in list(chunks.rows_of(version, pk))[:SAMPLES]]
    version.record(Action.DATA_SET_READ, by, reason=reason, rows=len(lines[:SAMPLES]))
    texts = [rows.text_of(line) for line in lines[:SAMPLES]]
    return [_sample(text) for text in (*texts, *_of_job(version))]


def whole(version: DataSetVersion, *, by: str, reason: str) -> Iterator[bytes]:
    """Records the export of a version, and returns its lines. Raises ValidationError."""
    version.record(Action.DATA_SET_READ, by, reason=_checked(version, reason), rows="all")
    return lines(version)


def lines(version: DataSetVersion, part: ChunkPart | None = None) -> Iterator[bytes]:
    """Yields lines of JSON; `person` is the pseudonym of whoever wrote a row."""
    for each in [part] if part else _PARTS:
        for row in chunks.rows(version, each):
            yield with_person(row) + b"\n"


def _checked(version: DataSetVersion, reason: str) -> str:
    """Returns the reason. Raises ValidationError, also for what a legal hold alone keeps."""
    if version.state == DataSetState.HELD:
        raise ValidationError(DataSetState.HELD.label)
    return checked_reason(reason)


def _of_job(version: DataSetVersion) -> list[str]:
    """Returns the samples of the job's report, with the name of their kind."""
    chunk = version.chunks.filter(part=ChunkPart.SAMPLES).first()
    if chunk is None:
        return []
    kinds: dict[str, Any] = orjson.loads(encryption.decrypted(chunk))
    return [f"{kind}: {_text(one)}" for kind, samples in kinds.items() for one in samples]


def _text(sample: Any) -> str:
    return sample if isinstance(sample, str) else orjson.dumps(sample).decode()


def _sample(text: str) -> Sample:
    return Sample(text[:LONGEST_SAMPLE], len(text) <= LONGEST_SAMPLE)
