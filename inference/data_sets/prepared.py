"""Versions on their way through the trainer: written into files, and made from its files.

A program that makes rows of rows keeps the field `person`. If it loses it, the new version does not
say whose its rows are: the erasure of any person of the old version then empties it.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from inference.data_sets import chunks, importing, people, purging, rows, storage_limit
from inference.data_sets.chunks import RowWriter
from inference.data_sets.reading import lines
from inference.data_sets.report import ImportReport
from inference.data_sets.rows import LONGEST_LINE, BadRow
from inference.data_sets.storage_limit import StorageFull, TooLarge, VersionGone
from inference.models import (
    ChunkPart,
    DataSetChunk,
    DataSetFormat,
    DataSetPerson,
    DataSetSource,
    DataSetState,
    DataSetVersion,
)
from tenants.scope import tenant_scope

FILES = {ChunkPart.TRAIN: "train.jsonl", ChunkPart.HELD_OUT: "held_out.jsonl"}
LONGEST_REPORT = 4 << 20  # bytes: a hundred samples of each finding fit
SAMPLES = "samples"  # the field of the trainer's report that holds texts


def write_files(version: DataSetVersion, folder: Path) -> dict[ChunkPart, Path]:
    """Write the rows into files that only this account reads; a part without rows has no file."""
    paths = {}
    for part, number in (
        (ChunkPart.TRAIN, version.rows),
        (ChunkPart.HELD_OUT, version.held_out_rows),
    ):
        if number:
            paths[part] = folder / FILES[part]
            paths[part].touch(mode=0o600)
            with paths[part].open("wb") as file:
                file.writelines(lines(version, part))
    return paths


def register(
    parent: DataSetVersion, folder: Path, *, job_id: UUID, by: str, since: datetime | None = None
) -> DataSetVersion:
    """Make the next version of the data set from the files of a job.

    `since` is when the job got the parent's rows: people who were erased later are left out. A job
    that comes again gets its version. Raises TooLarge, StorageFull, VersionGone,
    ValidationError.
    """
    version = _earlier(parent, job_id) or _made(parent, folder, job_id, by, since)
    if since:
        _leave_out_erased(version, parent, since)
    return version


def _made(
    parent: DataSetVersion, folder: Path, job_id: UUID, by: str, since: datetime | None
) -> DataSetVersion:
    if parent.state == DataSetState.DELETED:
        raise VersionGone
    with tenant_scope(parent.tenant_id):
        version = parent.data_set.add_version(
            by=by,
            parent=parent,
            made_by_job=job_id,
            source=DataSetSource.JOB,
            form=_form(parent),
            state=DataSetState.IMPORTING,
        )
    try:
        _fill(version, parent, folder, since)
    except (TooLarge, StorageFull) as problem:
        with tenant_scope(parent.tenant_id):
            _give_up(version, "too_large" if isinstance(problem, TooLarge) else "storage_full")
        raise
    return version


def _give_up(version: DataSetVersion, problem: str) -> None:
    """Fail a version that gets no more rows: those that it has go, and take no room any more."""
    version.chunks.all().delete()
    version.people.all().delete()
    moving = DataSetVersion.objects.moving().filter(pk=version.pk)
    moving.update(state=DataSetState.FAILED, problem=problem, stored_bytes=0)


def _leave_out_erased(version: DataSetVersion, parent: DataSetVersion, since: datetime) -> None:
    """Take out what may be words of people who were erased after the job got the rows.

    An erasure at the same moment comes before, and is seen here, or after, and sees this version.
    """
    with tenant_scope(version.tenant_id):
        storage_limit.lock_data_sets(version.tenant_id)
        if purging.purged_since([parent.pk], since):
            version.chunks.filter(part=ChunkPart.SAMPLES).delete()
            if not version.traces_people:
                purging.empty(version)


def _fill(
    version: DataSetVersion, parent: DataSetVersion, folder: Path, since: datetime | None
) -> None:
    writer, report = RowWriter(version), ImportReport()
    for part, name in FILES.items():
        for row in _rows(folder / name, version, report):
            writer.add(row, part)
    writer.finish()
    _note_people(version, parent, writer, since)
    job_report = _report(folder)
    if samples := job_report.pop(SAMPLES, None):
        chunk = DataSetChunk(version=version, part=ChunkPart.SAMPLES, number=0)
        chunks.store(chunk, orjson.dumps(samples), writer.bytes)
    figures = {"people": writer.people, "bytes": writer.bytes, "job": job_report}
    importing.complete(version, writer, report.as_json(**figures))


def _rows(path: Path, version: DataSetVersion, report: ImportReport) -> Iterator[rows.Row]:
    find_person, form = people.finder(version.tenant_id), DataSetFormat(version.form)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            try:
                row = rows.parse(line, form, find_person)
            except BadRow as problem:
                report.left_out(number, str(problem))
            else:
                report.kept(len(rows.text_of(row.line)))
                yield row


def _note_people(
    version: DataSetVersion, parent: DataSetVersion, writer: RowWriter, since: datetime | None
) -> None:
    """Note the parent's people where the rows do not say whose they are.

    Who was erased since the job got the rows is none of the parent's people any more.
    """
    if parent.traces_people and (writer.people or writer.barred):
        return
    with tenant_scope(version.tenant_id):
        of_parent = list(parent.people.values_list("subject_id", flat=True))
        if not of_parent and not (since and purging.purged_since([parent.pk], since)):
            return
        people_rows = [
            DataSetPerson(tenant_id=version.tenant_id, version=version, subject_id=pk, rows=0)
            for pk in of_parent
        ]
        DataSetPerson.objects.bulk_create(people_rows, ignore_conflicts=True, batch_size=1_000)
        DataSetVersion.objects.filter(pk=version.pk).update(traces_people=False)


def _earlier(parent: DataSetVersion, job_id: UUID) -> DataSetVersion | None:
    """Returns the job's version if it is ready; one that was broken off goes."""
    with tenant_scope(parent.tenant_id):
        made = DataSetVersion.objects.filter(data_set=parent.data_set, made_by_job=job_id)
        for version in made.moving():
            _give_up(version, "broken_off")
        return made.ready().first()


def _form(parent: DataSetVersion) -> DataSetFormat:
    is_chats = parent.form == DataSetFormat.CHATS
    return DataSetFormat.CHATS if is_chats else DataSetFormat.TEXTS


def _report(folder: Path) -> dict[str, Any]:
    """Returns the trainer's report; {} if it has none that fits."""
    path = folder / "report.json"
    if not path.exists() or path.stat().st_size > LONGEST_REPORT:
        return {}
    report = orjson.loads(path.read_bytes())
    return report if isinstance(report, dict) else {}
