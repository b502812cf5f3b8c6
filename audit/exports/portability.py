"""A person's data as one file, for them (GDPR art. 15 and 20): made by a job, encrypted under their
own key, gone after its time. Who holds something of a person registers how it is told.

A ZIP of one JSONL file for each kind, and a manifest with counts, hashes, recipients and days.
"""

import json
import logging
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
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
BEGUN = "begun"  # in `asked`: how often
RESTRICTED = "restricted"
LOST = timedelta(hours=1)  # a job that was killed is begun anew; one that takes longer is given up
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Portable:
    """`rows` yields what JSON can hold, oldest first, for a tenant's and a subject's id."""

    name: str  # of the file: lower case, without its ending
    rows: Callable[[UUID, UUID], Iterator[Row]]


_known: dict[str, Portable] = {}


def register(portable: Portable) -> None:
    _known[portable.name] = portable


# What people do ----------------------------------------------------------------------------------
def ask(tenant_id: UUID, subject_id: UUID, *, by: str) -> Export:
    """The one that is being made, else a new one. On record."""
    mine = {"tenant_id": tenant_id, "subject_id": subject_id, "kind": KIND}
    with transaction.atomic():
        making = Export.objects.filter(**mine, state=trail_export.MAKING).first()
        if making:
            return making
        days = periods.days_of(tenant_id, EXPORTS)
        expires_at = timezone.now() + timedelta(days=days)
        export = Export.objects.create(**mine, actor=by, expires_at=expires_at)
        _act(export, by, asked=True)
        transaction.on_commit(_wake)
    return export


def of_subject(tenant_id: UUID, subject_id: UUID) -> list[Export]:
    mine = Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id, kind=KIND)
    return list(mine.filter(expires_at__gt=timezone.now()).order_by("-created_at")[:10])


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """The ZIP in pieces; on record before the first one. Raises FileNotFoundError, Unreadable."""
    path = trail_export.path_of(export)
    if export.state != trail_export.READY or trail_export.expired(export) or not path.exists():
        raise FileNotFoundError(path.name)
    assert export.data_key_id
    cipher = keyring.by_id_now(export.data_key_id)
    _act(export, by, download=True)
    return encrypted_file.opened(path, cipher, _aad(export))


# The job -----------------------------------------------------------------------------------------
def work() -> None:
    """Makes what waits. The row's lock is the lease: killed, it is begun anew at the next beat."""
    waiting = Export.objects.filter(state=trail_export.MAKING, kind=KIND).order_by("created_at")
    for pk in list(waiting.values_list("pk", flat=True)):
        if _begun(pk):
            with transaction.atomic():
                if export := _taken(pk):
                    _make(export)
                    _keep_few(export)


def _taken(pk: UUID) -> Export | None:
    rows = Export.objects.select_for_update(skip_locked=True)
    return rows.filter(pk=pk, state=trail_export.MAKING).first()


def _begun(pk: UUID) -> bool:
    """Counted before it is tried: one that kills its process keeps nobody waiting either."""
    with transaction.atomic():
        export = _taken(pk)
        if export is None:
            return False
        begun = export.asked.get(BEGUN, 0)
        if begun >= TRIES:
            export.state = trail_export.FAILED
            export.problem = export.problem or "broken off each time"
        export.asked[BEGUN] = begun + 1
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
    except (OSError, MasterKeyUnavailable) as problem:  # that may pass
        if timezone.now() > export.created_at + LOST:
            _give_up(export, str(problem))
        else:
            export.asked[BEGUN], export.problem = 0, str(problem)[:300]
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"[:300]
        if export.asked[BEGUN] >= TRIES:
            _give_up(export, said)
        else:
            export.problem = said
    export.save()


def _give_up(export: Export, problem: str) -> None:
    log.exception("export %s failed", export.pk)
    export.state, export.problem = trail_export.FAILED, problem[:300]


def _keep_few(export: Export) -> None:
    """Copies of what is here. Under a hold, a person's own are spared (trail_export.py)."""
    assert export.subject_id
    if legal_hold.in_force(export.tenant_id, export.subject_id):
        return
    mine = Export.objects.filter(tenant_id=export.tenant_id, subject_id=export.subject_id)
    made = mine.filter(kind=KIND).exclude(state=trail_export.MAKING)
    trail_export.purge(made.order_by("-created_at")[KEPT:])


def _write(export: Export) -> None:
    assert export.subject_id
    cipher = keyring.of_subject_now(export.tenant_id, export.subject_id)
    path, aad = trail_export.path_of(export), _aad(export)
    with encrypted_file.EncryptedFile(path, cipher, aad) as file:
        told = _Told(file)
        with zipfile.ZipFile(cast("IO[bytes]", told), "w", zipfile.ZIP_DEFLATED) as archive:
            export.rows = _fill(archive, export.tenant_id, export.subject_id)
    export.data_key_id, export.bytes, export.sha256 = (
        cipher.key_id,
        file.size,
        told.hash.hexdigest(),
    )


class _Told:
    """A file that is only written to, as far as ZIP needs it."""

    def __init__(self, file: encrypted_file.EncryptedFile) -> None:
        self._file, self.hash = file, sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(bytes(data))

    def flush(self) -> None:
        """Its end is written when the file is left."""


def _fill(archive: zipfile.ZipFile, tenant_id: UUID, subject_id: UUID) -> int:
    files: dict[str, Row] = {}
    for portable in sorted(_known.values(), key=lambda one: one.name):
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
    """Engines and services that have answered."""
    answered = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    found = answered.exclude(upstream="").values_list("upstream", flat=True)
    return sorted(set(found.distinct()))


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
    except Exception:  # the broker is away: beat asks within seconds
        log.warning("cannot start the export now; beat retries it", exc_info=True)
