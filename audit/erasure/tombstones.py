"""Who has been erased, written down where a backup of the database does not reach.

A line is signed, and is on disk before the key it speaks of is destroyed. After a restore, what an
older backup brought back is erased again before anybody can look (`manage.py apply_tombstones`).
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.erasure import erasers, line_file
from audit.erasure.erasers import Evidence, Turn
from audit.keys import signing
from audit.models import DeletionRequest, DeletionState, Tombstone
from audit.retention import legal_hold
from audit.trail.record import act
from infrastructure.postgres.scope import scope

PURPOSE = "tombstone"
log = logging.getLogger(__name__)
BY = "command:apply_tombstones"
REMEDY = "run `manage.py apply_tombstones`, which erases them again"
RESTORE = (
    "restore the file from its backup; where there is none, `manage.py apply_tombstones "
    "--write-back` writes the lines that the database knows"
)
_WITH_KEYS = """
    select distinct t.request_id from audit_tombstone t join audit_datakey k
    on k.tenant_id = t.tenant_id and k.subject_id = t.subject_id"""


class BadTombstone(Exception):
    """A line that is not as it was written. Nothing is erased on its word."""


@dataclass(frozen=True, slots=True)
class Line:
    tenant_id: UUID
    subject_id: UUID
    request_id: UUID
    removes: bool
    at: datetime
    signature: bytes

    @property
    def whose(self) -> tuple[UUID, UUID]:
        return self.tenant_id, self.subject_id

    @property
    def body(self) -> bytes:
        return _body(self.tenant_id, self.subject_id, self.request_id, self.removes, self.at)

    def is_ours(self) -> bool:
        return signing.is_ours(self.body, self.signature, PURPOSE)

    @classmethod
    def parse(cls, text: str) -> "Line":
        """Raises BadTombstone."""
        try:
            found: dict[str, Any] = json.loads(text)
            line = cls(
                UUID(found["tenant_id"]),
                UUID(found["subject_id"]),
                UUID(found["request_id"]),
                bool(found["removes"]),
                datetime.fromisoformat(found["at"]),
                bytes.fromhex(found["signature"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadTombstone("a line is broken") from None
        if not line.is_ours():
            raise BadTombstone(f"the signature of request {line.request_id} is not ours")
        return line

    def __str__(self) -> str:
        said = {
            "tenant_id": str(self.tenant_id),
            "subject_id": str(self.subject_id),
            "request_id": str(self.request_id),
            "removes": self.removes,
            "at": self.at.isoformat(),
            "key_id": signing.key_id(),
            "signature": self.signature.hex(),
        }
        return json.dumps(said)


def _body(
    tenant_id: UUID, subject_id: UUID, request_id: UUID, removes: bool, at: datetime
) -> bytes:
    leaves = "removes" if removes else "stays"
    words = [tenant_id, subject_id, request_id, leaves, at.isoformat()]
    return "\n".join(map(str, words)).encode()


def path() -> Path:
    return Path(settings.FOREBAY_HOME) / "witness" / "tombstones.jsonl"


# Writing -----------------------------------------------------------------------------------------
def place(tenant_id: UUID, subject_id: UUID) -> None:
    """For the request that is being executed. Inside a transaction, once; the file is first.

    Without a request it is done again after a restore: the line is there already.
    """
    running = DeletionRequest.objects.filter(state=DeletionState.RUNNING)
    theirs = running.filter(tenant_id=tenant_id, subject_id=subject_id)
    request = theirs.order_by("mode").first()  # an erasure before a restriction beside it
    if request is None or Tombstone.objects.filter(request_id=request.id).exists():
        return
    line = _on_file(request.id) or _written(request)
    keep(line)


def keep(line: Line) -> None:
    """In the database as well: there the keyring looks for it."""
    Tombstone.objects.get_or_create(
        request_id=line.request_id,
        defaults={
            "tenant_id": line.tenant_id,
            "subject_id": line.subject_id,
            "removes": line.removes,
            "at": line.at,
            "signature": line.signature,
        },
    )


def _on_file(request_id: UUID) -> Line | None:
    """From an attempt that was killed before its commit."""
    return next((line for line in lines() if line.request_id == request_id), None)


def _written(request: DeletionRequest) -> Line:
    at = timezone.now()
    body = _body(request.tenant_id, request.subject_id, request.id, request.removes, at)
    line = Line(
        request.tenant_id,
        request.subject_id,
        request.id,
        request.removes,
        at,
        signing.sign(body, PURPOSE),
    )
    line_file.append(path(), str(line))
    return line


def _line_of(stone: Tombstone) -> Line:
    """Raises BadTombstone: the row was changed."""
    whose = stone.tenant_id, stone.subject_id, stone.request_id
    line = Line(*whose, stone.removes, stone.at, bytes(stone.signature))
    if not line.is_ours():
        raise BadTombstone(f"the signature of request {line.request_id} is not ours")
    return line


# Reading -----------------------------------------------------------------------------------------
def lines() -> list[Line]:
    """Raises BadTombstone: the last line may have been cut off as it was written, no other one."""
    try:
        written = path().read_text(errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [Line.parse(text) for text in written if not _cut_off(text)]


def _cut_off(text: str) -> bool:
    whole = text.rstrip("\n")
    if whole == text:  # the last one
        return not text.endswith("}")
    return not whole.strip() or whole.endswith(line_file.CUT_OFF)


def lost() -> list[Tombstone]:
    """Those that the database has and the file has not: it was damaged, or is an older one."""
    stones = list(Tombstone.objects.order_by("n"))  # before the file: its lines are first
    there = {line.request_id for line in lines()} if stones else set()
    return [stone for stone in stones if stone.request_id not in there]


def write_back() -> int:
    """For a file of which there is no backup: the lines that the database knows."""
    found = [_line_of(stone) for stone in lost()]
    for line in found:
        line_file.append(path(), str(line))
    return len(found)


def unapplied(*, thorough: bool = False) -> list[Line]:
    """Lines whose subject is here again. Thorough: also where only other stores would show it."""
    found = lines()
    if not found or thorough:
        return found
    known = set(Tombstone.objects.values_list("request_id", flat=True))
    back = _back()
    return [line for line in found if line.request_id not in known or line.request_id in back]


def removes(tenant_id: UUID, subject_id: UUID) -> bool:
    """Whether the person was to go with their data."""
    placed = Tombstone.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return placed.filter(removes=True).exists()


# After a restore ---------------------------------------------------------------------------------
def apply(line: Line) -> dict[str, Evidence]:
    """Erases again, in one transaction: evidence by store. Raises OnHold: then the key is barred,
    and `apply_again` erases as soon as the hold is over.

    Recipients are not told a second time.
    """
    who = line.whose
    with scope(system=True):
        keep(line)
    with scope(system=True):
        legal_hold.refuse_if_held(*who)
        stores = [one for one in erasers.in_order() if one.turn != Turn.RECIPIENTS]
        found = {store.name: store.erase(*who) for store in stores}
        detail = {"request": str(line.request_id), "again": True}
        act(Action.KEY_ERASE, actor=BY, tenant_id=who[0], subject_id=who[1], detail=detail)
    return found


def apply_again() -> int:
    """Who is erased and has a key nevertheless: that waited for the end of a hold. How many."""
    back = Tombstone.objects.filter(request_id__in=_back())
    return sum(_applied(stone) for stone in back)


def _applied(stone: Tombstone) -> bool:
    try:
        apply(_line_of(stone))
    except legal_hold.OnHold:
        return False
    except Exception:
        log.exception("data erased by deletion request %s has reappeared", stone.request_id)
        return False
    return True


def _back() -> set[UUID]:
    """Requests whose subject has a key again."""
    with connection.cursor() as cursor:
        cursor.execute(_WITH_KEYS)
        return {row[0] for row in cursor.fetchall()}


def startup_problem(*, while_erasing: bool = False) -> str:
    """Why nobody may look into this database yet, in one line; "" when they may.

    While erasing: a request that is being executed, and was killed between the file and the
    database, goes on by itself.
    """
    try:
        with scope(system=True):
            missing = len(lost())
            waiting = [line for line in unapplied() if not _is_kept_shut(line)]
            going = _running() if while_erasing else set()
    except (BadTombstone, OSError) as problem:
        return f"{path()}: {problem}; {RESTORE}"
    if missing:
        return f"{path()} lacks {missing} of the lines that were written to it: {RESTORE}"
    again = [line for line in waiting if line.request_id not in going]
    if again:
        return f"an older backup brought {len(again)} erased persons back: {REMEDY}"
    return ""


def _is_kept_shut(line: Line) -> bool:
    """Under a hold, with the stone in its place: nobody can open the key."""
    stones = Tombstone.objects.filter(request_id=line.request_id)
    return legal_hold.in_force(*line.whose) is not None and stones.exists()


def _running() -> set[UUID]:
    running = DeletionRequest.objects.filter(state=DeletionState.RUNNING)
    return set(running.values_list("id", flat=True))


def erasure_problem_at_start(*, while_erasing: bool = False) -> str:
    try:
        return startup_problem(while_erasing=while_erasing)
    finally:
        connection.close()


def check(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not databases or "audit_tombstone" not in connection.introspection.table_names():
        return []
    problem = startup_problem()
    return [Warning(problem, id="audit.W002")] if problem else []
