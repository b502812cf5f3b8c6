"""Reads uploads, files and recorded conversations into versions, in the background.

A process that reads a version holds its lease. After a death another one begins anew: the rows that
were stored are deleted first.
"""

import io
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from audit.actions import Action
from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.data_sets import (
    archives,
    chunks,
    conversations,
    encryption,
    people,
    rows,
    sources,
)
from inference.data_sets.archives import BadArchive
from inference.data_sets.chunks import RowWriter
from inference.data_sets.report import ImportReport, TooManyProblems
from inference.data_sets.rows import LONGEST_LINE, BadRow, Row
from inference.data_sets.selecting import NotAllowed
from inference.data_sets.sources import SourceGone
from inference.data_sets.storage_limit import StorageFull, TooLarge, VersionGone
from inference.data_sets.uploading import PATIENCE_H
from inference.models import (
    ChunkPart,
    ConversationUse,
    DataSetFormat,
    DataSetPerson,
    DataSetSource,
    DataSetState,
    DataSetVersion,
)
from tenants.scope import tenant_scope

log = logging.getLogger(__name__)
T = TypeVar("T")
BY = "system:data-sets"
LEASE = timedelta(minutes=2)
RENEWED_EVERY_S = 20.0
ATTEMPTS = 3
_CODES: dict[type[Exception], str] = {
    TooManyProblems: "too_many_problems",
    TooLarge: "too_large",
    StorageFull: "storage_full",
    SourceGone: "source_gone",
    Unreadable: "source_unreadable",
}
AT_ONCE = 3  # versions that this process reads, each another tenant's
_claiming = threading.Lock()


class LeaseLost(Exception):
    """Another process reads the version."""


def import_due() -> None:
    """Read versions that wait, one after the other, and give up uploads that are left over.

    Of a tenant one is read at a time, so that a large one delays nobody else's.
    """
    give_up_uploads()
    while version := _claimed():
        _import(version)


def give_up_uploads() -> None:
    """Fail uploads that nobody has completed for a day since they began."""
    before = timezone.now() - timedelta(hours=PATIENCE_H)
    old = DataSetVersion.objects.filter(state=DataSetState.UPLOADING, created_at__lt=before)
    for version in old.select_related("data_set"):
        _fail(version, "abandoned")


def _claimed() -> DataSetVersion | None:
    """Returns a version under a new lease."""
    with _claiming, transaction.atomic():
        due = DataSetVersion.objects.in_turn().order_by("created_at").select_related("data_set")
        version = due.select_for_update(of=("self",), skip_locked=True).first()
        if version:
            version.attempts = version.attempts + 1
            lease = {"attempts": version.attempts, "leased_until": Now() + LEASE}
            DataSetVersion.objects.filter(pk=version.pk).update(**lease)
    return version


def _import(version: DataSetVersion) -> None:
    try:
        if version.attempts > ATTEMPTS:
            _fail(version, "broken_off")
        else:
            _read(version)
    except VersionGone:
        _forget_unless_anothers(version)
    except LeaseLost:
        pass
    except MasterKeyUnavailable:
        _release(version)
    except NotAllowed:
        _fail(version, "not_allowed")
    except BadArchive as problem:
        _fail(version, str(problem))
    except tuple(_CODES) as problem:
        _fail(version, next(code for kind, code in _CODES.items() if isinstance(problem, kind)))
    except Exception:
        log.exception("cannot read a version of a data set")
        if version.attempts >= ATTEMPTS:
            _fail(version, "broken_off")


def _read(version: DataSetVersion) -> None:
    _forget_rows(version)
    report, writer, lease = ImportReport(), RowWriter(version), _Lease(version)
    for row in _rows(version, report, lease):
        writer.add(row)
        report.kept(len(rows.text_of(row.line)))
    writer.finish()
    if writer.barred:
        report.skipped("erased_person", writer.barred)
    if not sum(writer.rows.values()):
        _fail(version, "no_rows", report)
    else:
        complete(version, writer, report.as_json(people=writer.people, bytes=writer.bytes))


def complete(version: DataSetVersion, writer: RowWriter, report: dict[str, object]) -> None:
    """Make a version ready whose rows are stored, and record that. Raises VersionGone."""
    with tenant_scope(version.tenant_id):
        version.chunks.filter(part=ChunkPart.UPLOAD).delete()
        lost = chunks.drop_unreadable(version)
        figures = {
            "rows": writer.rows[ChunkPart.TRAIN] - lost[ChunkPart.TRAIN],
            "held_out_rows": writer.rows[ChunkPart.HELD_OUT] - lost[ChunkPart.HELD_OUT],
            "stored_bytes": writer.bytes,
        }
        _end(version, DataSetState.READY, report=report, ready_at=timezone.now(), **figures)
        version.record(Action.DATA_SET_IMPORT, BY, state=str(version.state), **figures)


def _rows(version: DataSetVersion, report: ImportReport, lease: "_Lease") -> Iterator[Row]:
    if version.source == DataSetSource.CONVERSATIONS:
        return _of_conversations(version, lease)
    source = sources.opened(version)
    if version.form == DataSetFormat.MARKDOWN:
        return _of_archive(map(lease.passed, archives.pages(source)), report)
    return _of_lines(version, map(lease.passed, _lines(source)), report)


def _of_conversations(version: DataSetVersion, lease: "_Lease") -> Iterator[Row]:
    with tenant_scope(version.tenant_id):
        rule = ConversationUse.objects.filter(tenant_id=version.tenant_id).first()
    if not (rule and rule.allowed):
        raise NotAllowed
    selection = conversations.Selection.of_json(version.selection or {})
    return conversations.rows(version.tenant_id, selection, lease.passed)


def _of_archive(pages: Iterable[archives.Page], report: ImportReport) -> Iterator[Row]:
    for number, page in enumerate(pages, 1):
        if page.problem == "not_a_page":
            report.skipped(page.problem)
            continue
        try:
            if page.problem:
                raise BadRow(page.problem)
            yield rows.page(page.name, page.text)
        except BadRow as problem:
            report.left_out(number, str(problem))


def _of_lines(
    version: DataSetVersion, lines: Iterable[bytes], report: ImportReport
) -> Iterator[Row]:
    find_person, form = people.finder(version.tenant_id), DataSetFormat(version.form)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LONGEST_LINE:
                raise BadRow("too_long")
            yield rows.parse(line, form, find_person)
        except BadRow as problem:
            report.left_out(number, str(problem))


def _lines(source: io.BufferedReader) -> Iterator[bytes]:
    """Yields lines; of one that is too long the beginning, so that memory stays bounded."""
    if source.peek(3)[:3] == b"\xef\xbb\xbf":
        source.read(3)
    while line := source.readline(LONGEST_LINE + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := source.readline(LONGEST_LINE)):
            pass
        yield line


def _forget_rows(version: DataSetVersion) -> None:
    with tenant_scope(version.tenant_id):
        version.chunks.exclude(part=ChunkPart.UPLOAD).delete()
        DataSetPerson.objects.filter(version=version).delete()


def _forget_unless_anothers(version: DataSetVersion) -> None:
    """Delete what was stored after the version had been deleted.

    Where another process has taken the version over, all of it is that one's.
    """
    with tenant_scope(version.tenant_id):
        rows = DataSetVersion.objects.filter(pk=version.pk).exclude(state=DataSetState.DELETED)
        if not rows.exclude(attempts=version.attempts).exists():
            version.chunks.all().delete()
            encryption.destroy_key(version)


class _Lease:
    """The lease of this attempt, renewed by what passes: empty and broken lines, too, and requests
    without a chat.
    """

    def __init__(self, version: DataSetVersion) -> None:
        self._version, self._due_at = version, time.monotonic() + RENEWED_EVERY_S

    def passed(self, item: T) -> T:
        """Returns the item. Raises LeaseLost."""
        if time.monotonic() > self._due_at:
            self._renew()
            self._due_at = time.monotonic() + RENEWED_EVERY_S
        return item

    def _renew(self) -> None:
        version = self._version
        mine = DataSetVersion.objects.filter(pk=version.pk, attempts=version.attempts)
        with tenant_scope(version.tenant_id):
            if not mine.update(leased_until=Now() + LEASE):
                raise LeaseLost


def _release(version: DataSetVersion) -> None:
    """Have another attempt later: a key store was away, which is no fault of the source."""
    with tenant_scope(version.tenant_id):
        lease = {"attempts": F("attempts") - 1, "leased_until": Now() + LEASE}
        DataSetVersion.objects.filter(pk=version.pk).update(**lease)


def _fail(version: DataSetVersion, code: str, report: ImportReport | None = None) -> None:
    """End it without rows; what was uploaded goes too."""
    figures = report.as_json() if report else {}
    try:
        with tenant_scope(version.tenant_id):
            _end(version, DataSetState.FAILED, problem=code, report=figures, stored_bytes=0)
            version.chunks.all().delete()
            DataSetPerson.objects.filter(version=version).delete()
            version.record(Action.DATA_SET_IMPORT, BY, state=str(version.state), problem=code)
    except VersionGone:
        _forget_unless_anothers(version)


def _end(version: DataSetVersion, state: DataSetState, **fields: Any) -> None:
    """Change the state of a version that this process makes. Raises VersionGone."""
    mine = {"pk": version.pk, "attempts": version.attempts}
    moving = DataSetVersion.objects.moving().filter(**mine)
    if not moving.update(state=state, leased_until=None, source_file_id=None, **fields):
        raise VersionGone
    version.refresh_from_db()
