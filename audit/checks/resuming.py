"""Sealing goes on after a restore: exactly what is not under seal yet comes next, and the trail
says that there was a restore, and what was lost with it.

A base backup brings the count of transactions along: sealing went on by itself, and only what a
witness has heard since is to be told. A dump does not: every event of before has the transaction
of another database. Their ids are all lower than what is written now, so that the highest of them
parts the two counts (SealMark.restarts).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from audit.actions import Action
from audit.models import PLATFORM, Checkpoint, SealMark
from audit.proof.seal import LOCK, ROUND, Row, put_under_seal
from audit.proof.seal_mark import CannotSeal, Mark, SetBack, mark
from audit.trail.canonical import LINE
from audit.trail.record import act
from audit.verification.report import Report
from audit.verification.restores import RESTARTS
from audit.verification.verify import opened, verify
from audit.verification.witnessed import Witness, heard
from audit.witnesses.delivery import from_file
from infrastructure.postgres.scope import scope

BY = "command:audit_resume"
_COVERED = "select coalesce(max(id), 0) from (select unnest(event_ids) from audit_seal) e(id)"
_NOT_COVERED = """
    select count(*) from audit_event
    where id > %s or (xid, id) > (%s, %s) and id > %s"""
# What has a transaction that is not there yet is of before the restore.
_LEFT = f"""
    select id, xid, coalesce(tenant_id, '{PLATFORM}'), at, {LINE} from audit_event
    where (xid, id) > (%(xid)s, %(event_id)s) and id > %(after_id)s
      and (xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint or id <= %(covered)s)
    order by xid, id limit %(round)s"""
_LAST = """
    select xid, id from audit_event where id in (
        select unnest(event_ids) from audit_seal
        where checkpoint = (select max(n) from audit_checkpoint)) and id > %s
    order by xid desc, id desc limit 1"""


class Broken(Exception):
    """The trail that was restored is not whole."""

    def __init__(self, report: Report) -> None:
        super().__init__(f"{report.found} findings")
        self.report = report


@dataclass(slots=True)
class Resumed:
    """`checkpoint`: the last one that is there; `lost`: those after it that a witness knows."""

    checkpoint: int
    why: str = ""
    sealed: int = 0
    after_id: int | None = None
    findings: int = 0
    lost: set[int] = field(default_factory=set)

    @property
    def detail(self) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint,
            "why": self.why,
            "sealed": self.sealed,
            "after_id": self.after_id,
            "findings": self.findings,
            "lost_checkpoints": len(self.lost),
        }


def resume(witness: Path | None = None, *, despite_findings: bool = False) -> Resumed:
    """Raises Broken, OSError, psycopg.Error."""
    with scope(system=True), connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        last = Checkpoint.objects.order_by("-n").first()
        done = Resumed(last.n if last else 0)
        place, problem = _place(cursor)
        report, covered = _looked_at(place, witness, done)
        if report.found and not despite_findings:
            raise Broken(report)
        done.why, done.findings = type(problem).__name__ if problem else "", report.found
        if isinstance(problem, SetBack):
            _begin_anew(cursor, place, covered, done)
        elif problem:
            restarts = _restarts(cursor)
            SealMark.objects.create(xid=place.xid, event_id=place.event_id, restarts=restarts)
        act(Action.AUDIT_RESUME, actor=BY, detail=done.detail)
    return done


def _place(cursor: CursorWrapper) -> tuple[Mark, CannotSeal | None]:
    """How far the seals reach, also where the mark cannot be believed."""
    try:
        return mark(cursor), None
    except SetBack as problem:
        old = SealMark.objects.get()
        return Mark(old.xid, old.event_id, max(old.restarts, default=0)), problem
    except CannotSeal as problem:
        after_id = max(_restarts(cursor), default=0)
        cursor.execute(_LAST, [after_id])
        xid, event_id = cursor.fetchone() or (0, 0)
        return Mark(xid, event_id, after_id), problem


def _restarts(cursor: CursorWrapper) -> list[int]:
    cursor.execute(RESTARTS)
    return [after_id for (after_id,) in cursor]


def _looked_at(place: Mark, witness: Path | None, done: Resumed) -> tuple[Report, int]:
    """What a verification finds, without what waits for its seal; and the highest sealed id."""
    known = [Witness(str(witness), _known(witness, done))] if witness else []
    with opened() as trail:
        covered = _one(trail, _COVERED)
        waiting = _one(trail, _NOT_COVERED, covered, *place)
        report = verify(trail, witnesses=known)
    kinds = ("event_unsealed", "event_waits")
    report.findings = [one for one in report.findings if one.kind not in kinds]
    report.found -= waiting - report.figures.get("waiting", 0)
    return report, covered


def _known(path: Path, done: Resumed) -> Iterator[bytes]:
    """Lines of what the database has, too; the others are counted as lost."""
    for line in from_file(path).lines:
        try:
            n = heard(line).facts.n
        except (ValueError, KeyError, TypeError, OverflowError):
            n = 0
        if n > done.checkpoint:
            done.lost.add(n)
        else:
            yield line


def _one(trail: psycopg.Connection[Any], query: str, *values: int) -> int:
    (found,) = trail.execute(query.encode(), values).fetchone() or (0,)
    return int(found)


def _begin_anew(cursor: CursorWrapper, place: Mark, covered: int, done: Resumed) -> None:
    """What of before the restore has no seal gets one now; the rest is sealed as always."""
    done.after_id = max(covered, place.after_id)
    while rows := _left(cursor, place, covered):
        put_under_seal(cursor, rows)
        done.sealed += len(rows)
        done.after_id = max(done.after_id, *(row.id for row in rows))
        place = place._replace(xid=rows[-1].xid, event_id=rows[-1].id)
    anew = SealMark.objects.get()
    anew.restarts = [*anew.restarts, done.after_id]
    anew.xid = anew.event_id = 0
    anew.set_back, anew.at = False, timezone.now()
    anew.save()


def _left(cursor: CursorWrapper, place: Mark, covered: int) -> list[Row]:
    cursor.execute(_LEFT, {**place._asdict(), "covered": covered, "round": ROUND})
    return [Row(*row) for row in cursor.fetchall()]
