"""A record of erased people in a file that a database backup does not reach.

Each line is signed, and on disk before its key is destroyed. After a restore, data that an older
backup brought back is erased again before anybody can read it (`manage.py apply_tombstones`).
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import connection
from django.utils import timezone

from audit.actions import Action
from audit.erasure import erasers, line_file
from audit.erasure.erasers import ErasureTurn, Evidence
from audit.keys import signing
from audit.models import DeletionRequest, DeletionState, Tombstone
from audit.retention import legal_hold
from audit.trail.record import act_on
from infrastructure.postgres.queries import rows
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


_owners_back: list[Callable[[], Iterable[UUID]]] = []


def register_owners_back(owners_back: Callable[[], Iterable[UUID]]) -> None:
    """Registers who returns requests whose person or key is there, which `audit` does not know."""
    _owners_back[:] = [owners_back]


class BadTombstone(Exception):
    """A line was changed or damaged. Nothing is erased because of it."""


class TombstoneLine(NamedTuple):
    tenant_id: UUID
    subject_id: UUID
    request_id: UUID
    removes: bool
    at: datetime
    signature: bytes = b""

    @property
    def owner(self) -> tuple[UUID, UUID]:
        return self.tenant_id, self.subject_id

    @property
    def body(self) -> bytes:
        """The signed text."""
        leaves = "removes" if self.removes else "stays"
        return "\n".join(map(str, [*self[:3], leaves, self.at.isoformat()])).encode()

    def signed(self) -> Self:
        return self._replace(signature=signing.sign(self.body, PURPOSE))

    def is_ours(self) -> bool:
        return signing.is_ours(self.body, self.signature, PURPOSE)

    def checked(self) -> Self:
        """Returns the line. Raises BadTombstone if the signature is not ours."""
        if not self.is_ours():
            raise BadTombstone(f"the signature of request {self.request_id} is not ours")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses a line of the file. Raises BadTombstone."""
        try:
            fields: dict[str, Any] = json.loads(text)
            line = cls(
                UUID(fields["tenant_id"]),
                UUID(fields["subject_id"]),
                UUID(fields["request_id"]),
                bool(fields["removes"]),
                datetime.fromisoformat(fields["at"]),
                bytes.fromhex(fields["signature"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadTombstone("a line is broken") from None
        return line.checked()

    def __str__(self) -> str:
        fields = {
            "tenant_id": str(self.tenant_id),
            "subject_id": str(self.subject_id),
            "request_id": str(self.request_id),
            "removes": self.removes,
            "at": self.at.isoformat(),
            "key_id": signing.key_id(),
            "signature": self.signature.hex(),
        }
        return json.dumps(fields)


def path() -> Path:
    return Path(settings.FOREBAY_HOME) / "witness" / "tombstones.jsonl"


# Writing -----------------------------------------------------------------------------------------
def place(tenant_id: UUID, subject_id: UUID) -> None:
    """Records the request that is being executed, in a transaction, once; the file comes first.

    Without such a request it is an erasure after a restore, whose line exists already.
    """
    requests = DeletionRequest.objects.filter(state=DeletionState.RUNNING)
    own = requests.filter(tenant_id=tenant_id, subject_id=subject_id)
    request = own.order_by("mode").first()  # an erasure before a restriction beside it
    if request is None or Tombstone.objects.filter(request_id=request.id).exists():
        return
    # An attempt that was killed before its commit has left its line.
    line = next((line for line in lines() if line.request_id == request.id), None)
    if line is None:
        subject = request.tenant_id, request.subject_id
        line = TombstoneLine(*subject, request.id, request.removes, timezone.now()).signed()
        line_file.append(path(), str(line))
    store(line)


def store(line: TombstoneLine) -> None:
    """Stores the line in the database too, where the keyring looks for it."""
    Tombstone.objects.get_or_create(request_id=line.request_id, defaults=line._asdict())


def _line_of(row: Tombstone) -> TombstoneLine:
    """Returns the row as a line. Raises BadTombstone if the row was changed."""
    ids = row.tenant_id, row.subject_id, row.request_id
    return TombstoneLine(*ids, row.removes, row.at, bytes(row.signature)).checked()


# Reading -----------------------------------------------------------------------------------------
def lines() -> list[TombstoneLine]:
    """Returns the lines of the file. Raises BadTombstone.

    Only the last line may be cut off, by a crash while it was written.
    """
    try:
        texts = path().read_text(errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [TombstoneLine.parse(text) for text in texts if not _cut_off(text)]


def _cut_off(text: str) -> bool:
    whole = text.rstrip("\n")
    if whole == text:  # the last one
        return not text.endswith("}")
    return not whole.strip() or whole.endswith(line_file.CUT_OFF)


def lost() -> list[Tombstone]:
    """Returns rows of the database that are missing from a damaged or older file."""
    known = list(Tombstone.objects.order_by("n"))  # read before the file, which is written first
    on_file = {line.request_id for line in lines()} if known else set()
    return [row for row in known if row.request_id not in on_file]


def write_back() -> int:
    """Writes the database's lines into a file that has no backup. Returns how many."""
    missing = [_line_of(row) for row in lost()]
    for line in missing:
        line_file.append(path(), str(line))
    return len(missing)


def unapplied(*, thorough: bool = False) -> list[TombstoneLine]:
    """Returns lines whose subject is back; `thorough`: all, for data in other stores."""
    every = lines()
    if not every or thorough:
        return every
    known = set(Tombstone.objects.values_list("request_id", flat=True))
    back = _reappeared()
    return [line for line in every if line.request_id not in known or line.request_id in back]


def removes(tenant_id: UUID, subject_id: UUID) -> bool:
    """Returns True if the person is removed together with their data."""
    tombstones = Tombstone.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    return tombstones.filter(removes=True).exists()


# After a restore ---------------------------------------------------------------------------------
def apply(line: TombstoneLine) -> dict[str, Evidence]:
    """Erases again, in one transaction, and returns the evidence by store.

    Raises OnHold; the key is barred then, and `apply_again` erases as soon as the hold is over.
    Recipients are not notified a second time.
    """
    subject = line.owner
    with scope(system=True):
        store(line)
    with scope(system=True):
        legal_hold.refuse_if_held(*subject)
        stores = [eraser for eraser in erasers.in_order() if eraser.turn != ErasureTurn.RECIPIENTS]
        evidence = {eraser.name: eraser.erase_all(*subject) for eraser in stores}
        act_on(line, Action.KEY_ERASE, BY, request=str(line.request_id), again=True)
    return evidence


def apply_again() -> int:
    """Erases people who are back, after a hold that delayed it. Returns how many."""
    return sum(map(_erased_again, Tombstone.objects.filter(request_id__in=_reappeared())))


def _erased_again(row: Tombstone) -> bool:
    try:
        apply(_line_of(row))
    except legal_hold.OnHold:
        return False
    except Exception:
        log.exception("data erased by deletion request %s has reappeared", row.request_id)
        return False
    return True


def _reappeared() -> set[UUID]:
    """Returns the requests whose subject has a key again, or is there again without one.

    One that is being executed still has its subject, whose identity goes last.
    """
    back = {request_id for owners_back in _owners_back for request_id in owners_back()}
    running = DeletionRequest.objects.filter(pk__in=back, state=DeletionState.RUNNING)
    back -= set(running.values_list("pk", flat=True))
    return back | {request_id for (request_id,) in rows(_WITH_KEYS)}


def startup_problem(*, while_erasing: bool = False, writes_here: bool = True) -> str:
    """Returns one line on why this database must not be used yet, or "" if it may be.

    `while_erasing`: ignores requests in execution that were killed between the file and the
    database, because they continue by themselves. `writes_here`: whether this process erases; the
    host of another one may have no file.
    """
    try:
        with scope(system=True):
            missing = len(lost()) if writes_here or path().exists() else 0
            waiting = [line for line in unapplied() if not _is_barred(line)]
            executed = DeletionRequest.objects.filter(state=DeletionState.RUNNING)
            running = set(executed.values_list("id", flat=True)) if while_erasing else set()
    except (BadTombstone, OSError) as problem:
        return f"{path()}: {problem}; {RESTORE}"
    if missing:
        return f"{path()} lacks {missing} of the lines that were written to it: {RESTORE}"
    reappeared = [line for line in waiting if line.request_id not in running]
    if reappeared:
        return f"an older backup brought {len(reappeared)} erased persons back: {REMEDY}"
    return ""


def _is_barred(line: TombstoneLine) -> bool:
    """Returns True if a hold delays the erasure and the tombstone keeps the key unusable."""
    tombstones = Tombstone.objects.filter(request_id=line.request_id)
    return legal_hold.in_force(*line.owner) is not None and tombstones.exists()


def erasure_problem_at_start(*, while_erasing: bool = False, writes_here: bool) -> str:
    try:
        return startup_problem(while_erasing=while_erasing, writes_here=writes_here)
    finally:
        connection.close()


def check(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    if not databases or "audit_tombstone" not in connection.introspection.table_names():
        return []
    problem = startup_problem()
    return [Warning(problem, id="audit.W002")] if problem else []
