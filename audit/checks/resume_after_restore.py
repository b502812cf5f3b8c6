"""Resumes sealing after a restore.

The next seals hold exactly the events that have none yet, and the trail records the restore and
what was lost with it.

A base backup restores PostgreSQL's transaction counter too, so sealing continues by itself; only
the checkpoints that witnesses have received since then are lost and have to be recorded. A dump
does not: its events carry the transaction ids of another database. Their event ids are all lower
than new ones, so the highest of them separates the two counters (SealMark.restarts).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone

from audit.actions import Action
from audit.models import PLATFORM, Checkpoint, SealMark
from audit.proof.seal import LOCK, ROUND, EventRow, put_under_seal
from audit.proof.seal_mark import CannotSeal, Mark, SetBack, mark
from audit.trail.canonical import LINE
from audit.trail.record import act
from audit.verification.report import VerificationReport
from audit.verification.rows import RESTARTS, Trail
from audit.verification.verify import open_trail, verify
from audit.verification.witness_lines import Witness, parse_line
from audit.witnesses.delivery import from_file
from infrastructure.postgres.queries import rows
from infrastructure.postgres.scope import scope

BY = "command:audit_resume"
_COVERED = "select coalesce(max(id), 0) from (select unnest(event_ids) from audit_seal) e(id)"
_NOT_COVERED = """
    select count(*) from audit_event
    where id > %s or (xid, id) > (%s, %s) and id > %s"""
# A row whose transaction id is still in this database's future was written before the restore.
_UNSEALED = f"""
    select id, xid, coalesce(tenant_id, '{PLATFORM}'), at, {LINE} from audit_event
    where (xid, id) > (%(xid)s, %(event_id)s) and id > %(after_id)s
      and (xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint or id <= %(covered)s)
    order by xid, id limit %(round)s"""
_LAST = """
    select xid, id from audit_event where id in (
        select unnest(event_ids) from audit_seal
        where checkpoint = (select max(n) from audit_checkpoint)) and id > %s
    order by xid desc, id desc limit 1"""


class RestoredTrailBroken(Exception):
    """The restored trail does not verify."""

    def __init__(self, report: VerificationReport) -> None:
        super().__init__(f"{report.found} findings")
        self.report = report


@dataclass(slots=True)
class Resumed:
    """A resumption. `checkpoint`: the last one present; `lost`: later ones that a witness knows."""

    checkpoint: int
    why: str = ""
    sealed: int = 0
    after_id: int | None = None
    findings: int = 0
    lost: set[int] = field(default_factory=set)

    @property
    def detail(self) -> dict[str, Any]:
        detail = asdict(self)
        detail["lost_checkpoints"] = len(detail.pop("lost"))
        return detail


def resume(witness: Path | None = None, *, despite_findings: bool = False) -> Resumed:
    """Resumes sealing and records it. Raises RestoredTrailBroken, OSError, psycopg.Error."""
    with scope(system=True):
        rows("select pg_advisory_xact_lock(%s)", [LOCK])
        last = Checkpoint.objects.order_by("-n").first()
        resumed = Resumed(last.n if last else 0)
        position, problem = _sealed_up_to()
        report, covered = _verify_restored(position, witness, resumed)
        if report.found and not despite_findings:
            raise RestoredTrailBroken(report)
        resumed.why, resumed.findings = type(problem).__name__ if problem else "", report.found
        if isinstance(problem, SetBack):
            _seal_restored(position, covered, resumed)
        elif problem:
            xid, event_id, _after_id = position
            SealMark.objects.create(xid=xid, event_id=event_id, restarts=_restarts())
        act(Action.AUDIT_RESUME, actor=BY, detail=resumed.detail)
    return resumed


def _sealed_up_to() -> tuple[Mark, CannotSeal | None]:
    """Returns how far the seals reach, whatever the mark says, and the mark's problem."""
    try:
        return mark(), None
    except SetBack as problem:
        old = SealMark.objects.get()
        return Mark(old.xid, old.event_id, max(old.restarts, default=0)), problem
    except CannotSeal as problem:
        after_id = max(_restarts(), default=0)
        ((xid, event_id),) = rows(_LAST, [after_id]) or [(0, 0)]
        return Mark(xid, event_id, after_id), problem


def _restarts() -> list[int]:
    return [after_id for (after_id,) in rows(RESTARTS)]


def _verify_restored(
    position: Mark, witness: Path | None, resumed: Resumed
) -> tuple[VerificationReport, int]:
    """Returns the findings without those about unsealed events, and the highest sealed event id."""
    witnesses = [Witness(str(witness), _known_lines(witness, resumed))] if witness else []
    with open_trail() as trail:
        covered = _scalar(trail, _COVERED)
        unsealed = _scalar(trail, _NOT_COVERED, covered, *position)
        report = verify(trail, witnesses=witnesses)
    kinds = ("event_unsealed", "event_waits")
    report.findings = [one for one in report.findings if one.kind not in kinds]
    report.found -= unsealed - report.figures.get("waiting", 0)
    return report, covered


def _known_lines(path: Path, resumed: Resumed) -> Iterator[bytes]:
    """Yields the witness's lines about checkpoints that we have; counts the others as lost."""
    for line in from_file(path).lines:
        try:
            n = parse_line(line).facts.n
        except (ValueError, KeyError, TypeError, OverflowError):
            n = 0
        if n > resumed.checkpoint:
            resumed.lost.add(n)
        else:
            yield line


def _scalar(trail: Trail, query: str, *values: int) -> int:
    (number,) = trail.execute(query.encode(), values).fetchone() or (0,)
    return int(number)


def _seal_restored(position: Mark, covered: int, resumed: Resumed) -> None:
    """Seals the unsealed events of before the restore, then sets the mark for normal sealing."""
    resumed.after_id = max(covered, position.after_id)
    while unsealed := _unsealed(position, covered):
        put_under_seal(unsealed)
        resumed.sealed += len(unsealed)
        resumed.after_id = max(resumed.after_id, *(row.id for row in unsealed))
        position = position._replace(xid=unsealed[-1].xid, event_id=unsealed[-1].id)
    seal_mark = SealMark.objects.get()
    seal_mark.restarts = [*seal_mark.restarts, resumed.after_id]
    seal_mark.xid = seal_mark.event_id = 0
    seal_mark.set_back, seal_mark.at = False, timezone.now()
    seal_mark.save()


def _unsealed(position: Mark, covered: int) -> list[EventRow]:
    values = {**position._asdict(), "covered": covered, "round": ROUND}
    return [EventRow(*row) for row in rows(_UNSEALED, values)]
