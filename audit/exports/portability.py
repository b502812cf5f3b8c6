"""A person's data as one file, for that person (GDPR art. 15 and 20).

A job makes it, under the person's own key (export_file.py). Each app registers its stores of
personal data. The file is a ZIP of one JSONL file per kind, and a manifest with counts, hashes,
recipients and days.
"""

import json
import logging
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import IO, Any, cast
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.exports import export_file
from audit.exports.export_file import FAILED, MAKING, READY
from audit.keys.keyring import Barred, Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from audit.models import Event, Export
from audit.retention import legal_hold, periods
from audit.trail.record import act_on
from infrastructure.postgres.queries import try_lock

log = logging.getLogger(__name__)
KIND = "subject"
KEPT = 3  # files of one person
TRIES = 3
_OUTCOME = ("state", "asked", "problem", "rows", "data_key_id", "bytes", "sha256")
BEGUN = "begun"  # key in `asked`: the number of attempts
RESTRICTED = "restricted"
LOST = timedelta(hours=1)  # a killed job starts again until then; later it has failed
# A person's recorded acts other than requests: all of their own things, and some others. No holds,
# which may be secret, and no reasons and networks of other people: only the details listed here.
_OWN = (
    *("api_key", "batch", "contest", "conversation", "data_set", "decision", "file"),
    *("knowledge", "link", "member", "mfa", "response", "session"),
)
ACTIONS = (
    *(action for action in Action if action.partition(":")[0] in (*_OWN, "texts")),
    Action.ACCESS_DENIED,
    Action.AUDIT_SEARCH,
    Action.DELETION_APPROVE,
    Action.DELETION_FINISH,
    Action.DELETION_REFUSE,
    Action.DELETION_REQUEST,
    Action.KEY_ERASE,
    Action.PASSWORD_CHANGE,
    Action.PROMPT_VIEW,
    Action.REQUEST_REFUSED,
    Action.SUBJECT_EXPORT,
    Action.TEAM_JOIN,
    Action.TEAM_LEAVE,
)
WORDS = """again asked batch bytes contest conversation count decision download due_at export factor
    factors file how keys left limit member mode outcome policy purpose refusal request response
    role route sessions state tier used version why"""
OF_DETAIL = frozenset(WORDS.split())
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Portable:
    """A kind of data. `rows` yields its rows, oldest first, for a tenant's and a subject's id."""

    name: str  # of the file: lower case, without its ending
    rows: Callable[[UUID, UUID], Iterator[Row]]


_known: dict[str, Portable] = {}
_actors: list[Callable[[UUID, UUID], Collection[str]]] = []


def register(portable: Portable) -> None:
    _known[portable.name] = portable


def register_actors(actors_of: Callable[[UUID, UUID], Collection[str]]) -> None:
    """Registers who a tenant's subject is as an actor of the trail, which `audit` does not know."""
    _actors[:] = [actors_of]


# Requests ----------------------------------------------------------------------------------------
def ask(tenant_id: UUID, subject_id: UUID, *, by: str) -> Export:
    """Returns the export in progress, or starts a new one and records that."""
    subject = {"tenant_id": tenant_id, "subject_id": subject_id, "kind": KIND}
    with transaction.atomic():
        if pending := Export.objects.filter(**subject, state=MAKING).first():
            return pending
        export = export_file.new(**subject, actor=by)
        _act(export, by, asked=True)
        transaction.on_commit(partial(export_file.wake, "audit.export_subjects"))
    return export


def of_subject(tenant_id: UUID, subject_id: UUID) -> list[Export]:
    exports = Export.objects.filter(tenant_id=tenant_id, subject_id=subject_id, kind=KIND)
    return list(exports.filter(expires_at__gt=timezone.now()).order_by("-created_at")[:10])


def download(export: Export, *, by: str) -> Iterator[bytes]:
    """Yields the ZIP in pieces, after recording the download.

    Raises FileNotFoundError, Unreadable.
    """
    pieces = export_file.reading(export)
    _act(export, by, download=True)
    return pieces


def _act(export: Export, by: str, **detail: bool) -> None:
    act_on(export, Action.SUBJECT_EXPORT, by, export=str(export.id), **detail)


# The job -----------------------------------------------------------------------------------------
def work() -> None:
    """Makes pending exports. A lock is the lease: after a crash the next beat restarts it.

    It is no row's lock: a transaction that has one while a file is made delays all seals.
    """
    waiting = Export.objects.filter(state=MAKING, kind=KIND).order_by("created_at")
    for pk in list(waiting.values_list("pk", flat=True)):
        with try_lock(f"export:{pk}") as acquired:
            export = _begun(pk) if acquired else None
            if export:
                _make(export)
                _purge_surplus(export)


def _begun(pk: UUID) -> Export | None:
    """Counts an attempt before it starts, and returns the export if it may.

    So an export that kills its process cannot block the others for ever.
    """
    export = Export.objects.filter(pk=pk, state=MAKING).first()
    if export is None:
        return None
    attempts = export.asked.get(BEGUN, 0)
    if attempts >= TRIES:
        export.state, export.problem = FAILED, export.problem or "broken off each time"
    export.asked[BEGUN] = attempts + 1
    return export if _save(export) and export.state == MAKING else None


def _save(export: Export) -> bool:
    """Stores the outcome. Returns False if an erasure has deleted the row, and drops the file."""
    values = {name: getattr(export, name) for name in _OUTCOME}
    is_there = bool(Export.objects.filter(pk=export.pk).update(**values))
    if not is_there:
        export_file.path_of(export).unlink(missing_ok=True)
    return is_there


def _make(export: Export) -> None:
    try:
        _write(export)
        export.state = READY
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
    _save(export)


def _give_up(export: Export, problem: str) -> None:
    log.exception("export %s failed", export.pk)
    export.state, export.problem = FAILED, problem[:300]


def _purge_surplus(export: Export) -> None:
    """Deletes the person's older files, unless a hold spares them (trail_export.py)."""
    assert export.subject_id
    if legal_hold.in_force(export.tenant_id, export.subject_id):
        return
    exports = Export.objects.filter(tenant_id=export.tenant_id, subject_id=export.subject_id)
    finished = exports.filter(kind=KIND).exclude(state=MAKING)
    export_file.purge(finished.order_by("-created_at")[KEPT:])


def _write(export: Export) -> None:
    assert export.subject_id
    with export_file.writing(export) as file:
        out = cast("IO[bytes]", file)  # it has the two methods that ZIP needs
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            export.rows = _fill(archive, export.tenant_id, export.subject_id)


def _fill(archive: zipfile.ZipFile, tenant_id: UUID, subject_id: UUID) -> int:
    files: dict[str, Row] = {}
    for name, portable in sorted(_known.items()):
        file = f"{name}.jsonl"
        files[file] = _file(archive, file, portable.rows(tenant_id, subject_id))
    answered = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    recipients = answered.exclude(upstream="").values_list("upstream", flat=True).distinct()
    manifest = {
        "format": "forebay-subject-export/1",
        "tenant": str(tenant_id),
        "subject": str(subject_id),
        "made_at": timezone.now().isoformat(),
        "purpose": "to answer the person's own requests, and to prove that it was done",
        "recipients": sorted(recipients),
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


def _json(value: Any, **options: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, **options)


def _acts(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    events = Event.objects.filter(tenant_id=tenant_id, subject_id=subject_id, action__in=ACTIONS)
    own = {actor for actors_of in _actors for actor in actors_of(tenant_id, subject_id)}
    names = ("at", "action", "success", "client_net", "detail", "actor")
    for row in events.order_by("at", "id").values(*names).iterator():
        detail = {name: value for name, value in row["detail"].items() if name in OF_DETAIL}
        if row.pop("actor") not in own:
            row["client_net"] = None
        yield {**row, "detail": detail}


def register_own() -> None:
    register(Portable("acts", _acts))
