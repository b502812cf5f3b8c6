"""A person's data as one file, for that person (GDPR art. 15 and 20).

A job makes it, encrypts it under the person's own key, and deletes it after its time. Each app
registers its stores of personal data. The file is a ZIP of one JSONL file per kind, and a manifest
with counts, hashes, recipients and days.
"""

import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from operator import attrgetter
from typing import IO, Any, cast
from uuid import UUID

from celery import current_app
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.exports import trail_export
from audit.keys import encrypted_file
from audit.keys.keyring import Barred, Unreadable, keyring
from audit.keys.master_keys import MasterKeyUnavailable
from audit.models import Event, Export
from audit.retention import legal_hold, periods
from audit.retention.data_classes import EXPORTS
from audit.trail.record import act

log = logging.getLogger(__name__)
KIND = "subject"
KEPT = 3  # files of one person
TRIES = 3
BEGUN = "begun"  # key in `asked`: the number of attempts
RESTRICTED = "restricted"
LOST = timedelta(hours=1)  # a killed job starts again until then; later it has failed
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Portable:
    """A kind of data. `rows` yields JSON-compatible rows, oldest first, for a tenant's and a
    subject's id.
    """

    name: str  # of the file: lower case, without its ending
    rows: Callable[[UUID, UUID], Iterator[Row]]


_known: dict[str, Portable] = {}


def register(portable: Portable) -> None:
    _known[portable.name] = portable


# Requests ----------------------------------------------------------------------------------------
def ask(tenant_id: UUID, subject_id: UUID, *, by: str) -> Export:
    """Returns the export in progress, or starts a new one and records that."""
    subject = {"tenant_id": tenant_id, "subject_id": subject_id, "kind": KIND}
    with transaction.atomic():
        pending = Export.objects.filter(**subject, state=trail_export.MAKING).first()
        if pending:
            return pending
        days = periods.days_of(tenant_id, EXPORTS)
        expires_at = timezone.now() + timedelta(days=days)
        export = Export.objects.create(**subject, actor=by, expires_at=expires_at)
        _act(export, by, asked=True)
        transaction.on_commit(_wake)
    return export


def of_subject(tenant_id: UUID, subject_id: UUID) -> list[Export]:
    exports = Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id, kind=KIND)
    return list(exports.filter(expires_at__gt=timezone.now()).order_by("-created_at")[:10])


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """Yields the ZIP in pieces, after recording the download.

    Raises FileNotFoundError, Unreadable.
    """
    path = trail_export.path_of(export)
    if export.state != trail_export.READY or trail_export.expired(export) or not path.exists():
        raise FileNotFoundError(path.name)
    assert export.data_key_id
    cipher = keyring.by_id_now(export.data_key_id)
    _act(export, by, download=True)
    return encrypted_file.decrypted(path, cipher, _aad(export))


# The job -----------------------------------------------------------------------------------------
def work() -> None:
    """Makes pending exports. The row lock is the lease: after a crash the next beat restarts it."""
    waiting = Export.objects.filter(state=trail_export.MAKING, kind=KIND).order_by("created_at")
    for pk in list(waiting.values_list("pk", flat=True)):
        if _count_attempt(pk):
            with transaction.atomic():
                if export := _lock_export(pk):
                    _make(export)
                    _purge_surplus(export)


def _lock_export(pk: UUID) -> Export | None:
    rows = Export.objects.select_for_update(skip_locked=True)
    return rows.filter(pk=pk, state=trail_export.MAKING).first()


def _count_attempt(pk: UUID) -> bool:
    """Counts an attempt before it starts, and returns True if it may.

    So an export that kills its process cannot block the others for ever.
    """
    with transaction.atomic():
        export = _lock_export(pk)
        if export is None:
            return False
        attempts = export.asked.get(BEGUN, 0)
        if attempts >= TRIES:
            export.state = trail_export.FAILED
            export.problem = export.problem or "broken off each time"
        export.asked[BEGUN] = attempts + 1
        export.save()
        return export.state == trail_export.MAKING


def _make(export: Export) -> None:
    try:
        with transaction.atomic():
            _write(export)
        export.state = trail_export.READY
    except Barred:
        _give_up(export, RESTRICTED)
    except Unreadable as problem:
        _give_up(export, str(problem))
    except (OSError, MasterKeyUnavailable) as problem:  # may pass by itself
        if timezone.now() > export.created_at + LOST:
            _give_up(export, str(problem))
        else:
            export.asked[BEGUN], export.problem = 0, str(problem)[:300]
    except Exception as problem:
        text = f"{type(problem).__name__}: {problem}"[:300]
        if export.asked[BEGUN] >= TRIES:
            _give_up(export, text)
        else:
            export.problem = text
    export.save()


def _give_up(export: Export, problem: str) -> None:
    log.exception("export %s failed", export.pk)
    export.state, export.problem = trail_export.FAILED, problem[:300]


def _purge_surplus(export: Export) -> None:
    """Deletes the person's older files, unless a hold spares them (trail_export.py)."""
    assert export.subject_id
    if legal_hold.in_force(export.tenant_id, export.subject_id):
        return
    exports = Export.objects.filter(tenant_id=export.tenant_id, subject_id=export.subject_id)
    finished = exports.filter(kind=KIND).exclude(state=trail_export.MAKING)
    trail_export.purge(finished.order_by("-created_at")[KEPT:])


def _write(export: Export) -> None:
    assert export.subject_id
    cipher = keyring.of_subject_now(export.tenant_id, export.subject_id)
    path, aad = trail_export.path_of(export), _aad(export)
    with encrypted_file.EncryptedFile(path, cipher, aad) as file:
        hashing = _HashingFile(file)
        with zipfile.ZipFile(cast("IO[bytes]", hashing), "w", zipfile.ZIP_DEFLATED) as archive:
            export.rows = _fill(archive, export.tenant_id, export.subject_id)
    export.data_key_id, export.bytes, export.sha256 = (
        cipher.key_id,
        file.size,
        hashing.hash.hexdigest(),
    )


class _HashingFile:
    """A write-only file that hashes its content, with the methods that ZIP needs."""

    def __init__(self, file: encrypted_file.EncryptedFile) -> None:
        self._file, self.hash = file, sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(bytes(data))

    def flush(self) -> None:
        """Does nothing: closing the file writes its end."""


def _fill(archive: zipfile.ZipFile, tenant_id: UUID, subject_id: UUID) -> int:
    files: dict[str, Row] = {}
    for portable in sorted(_known.values(), key=attrgetter("name")):
        name = f"{portable.name}.jsonl"
        files[name] = _file(archive, name, portable.rows(tenant_id, subject_id))
    manifest = {
        "format": "forebay-subject-export/1",
        "tenant": str(tenant_id),
        "subject": str(subject_id),
        "made_at": timezone.now().isoformat(),
        "purpose": "to answer the person's own requests, and to prove that it was done",
        "recipients": _recipients(tenant_id, subject_id),
        "kept_for_days": {rule.data_class.name: rule.days for rule in periods.rules(tenant_id)},
        "files": files,
    }
    archive.writestr("manifest.json", _json(manifest, indent=2))
    return sum(file["rows"] for file in files.values())


def _file(archive: zipfile.ZipFile, name: str, rows: Iterator[Row]) -> Row:
    digest, count = sha256(), 0
    with archive.open(name, "w", force_zip64=True) as file:
        for row in rows:
            line = _json(row).encode() + b"\n"
            file.write(line)
            digest.update(line)
            count += 1
    return {"rows": count, "sha256": digest.hexdigest()}


def _recipients(tenant_id: UUID, subject_id: UUID) -> list[str]:
    """Returns the engines and services that have answered."""
    events = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    upstreams = events.exclude(upstream="").values_list("upstream", flat=True)
    return sorted(set(upstreams.distinct()))


def _json(value: Any, **options: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, **options)


def _aad(export: Export) -> bytes:
    return b"audit_export|%b|%b" % (export.tenant_id.bytes, export.id.bytes)


def _act(export: Export, by: str, **detail: bool) -> None:
    act(
        Action.SUBJECT_EXPORT,
        actor=by,
        tenant_id=export.tenant_id,
        subject_id=export.subject_id,
        detail={"export": str(export.id), **detail},
    )


def _wake() -> None:
    try:
        current_app.send_task("audit.export_subjects", ignore_result=True)
    except Exception:  # the broker is away; beat sends the task within seconds
        log.warning("cannot start the export now; beat retries it", exc_info=True)
