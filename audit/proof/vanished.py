"""What has vanished between its commit and its seal.

Whoever owns the database can take a row away before its seal, and hold up all seals with a
transaction that stays open. So whoever writes an act leaves its hash in Redis as it commits, and
the sealer that of every event which has waited for NOTED_AFTER_S (trail/pending.py). The sealer
looks at each of them until it is under seal: one that is gone, or not what it was, is an alarm,
on record once.
"""

import logging
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.db.backends.utils import CursorWrapper
from redis.exceptions import RedisError

from audit import merkle
from audit.actions import Action
from audit.proof.seal_mark import AFTER, CannotSeal, Mark, mark, unsealed_age
from audit.trail import canonical, pending
from audit.trail.pending import Note
from audit.trail.record import act
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
BY = "system:sealer"
NOTED_AFTER_S = 2.0  # without a seal, which comes within a second where nothing holds it up
LATE_S = 10.0
AT_ONCE = 2_000  # events that one look asks the database about
MOST = 50_000  # are remembered while nothing comes under seal
TOLD = 20  # of those that are gone; all are counted
_WAITING = f"""
    select id, action, (extract(epoch from at) * 1000000)::bigint, {canonical.LINE}
    {AFTER} and at < now() - make_interval(secs => %s) order by id desc limit %s"""
_THERE = f"""
    select id, {canonical.LINE}, id <= %s or (xid, id) <= (%s, %s)
    from audit_event where id = any(%s)"""
_NOWHERE = Mark(-1, -1, -1)


class _Watch:
    """Where the last look of this process ended, and whether it has told of a delay."""

    cursor = 0
    told_late = False


def look() -> list[str]:
    """What has vanished, or was changed, since it was committed."""
    found: list[str] = []
    with scope(system=True), connection.cursor() as cursor:
        reached = _reached(cursor)
        try:
            found += _missed(cursor, reached or _NOWHERE)
            waits = bool(reached) and _note_waiting(cursor, reached or _NOWHERE)
        except RedisError as problem:
            pending.away(problem)
            waits = bool(reached)
        _tell(found)
        _tell_late(unsealed_age() if waits else 0.0)
    return found


def _reached(cursor: CursorWrapper) -> Mark | None:
    """None: nothing comes under seal until somebody has looked (the self-check says so)."""
    try:
        return mark(cursor)
    except CannotSeal:
        return None


def _note_waiting(cursor: CursorWrapper, reached: Mark) -> bool:
    cursor.execute(_WAITING, [*reached, NOTED_AFTER_S, AT_ONCE])
    rows = cursor.fetchall()
    if rows and pending.count() < MOST:
        pending.keep(pending.note(n, action, at, line.encode()) for n, action, at, line in rows)
    return bool(rows)


def _missed(cursor: CursorWrapper, reached: Mark) -> Iterator[str]:
    _Watch.cursor, notes = pending.some(_Watch.cursor, AT_ONCE)
    if not notes:
        return
    asked: list[Any] = [reached.after_id, reached.xid, reached.event_id, list(notes)]
    cursor.execute(_THERE, asked)
    there = {row[0]: row[1:] for row in cursor.fetchall()}
    for event_id, note in notes.items():
        problem = _problem(note, *there.get(event_id, ("", False)))
        if problem is not None and pending.forget(event_id) and problem:
            yield f"{note.what} {problem}, before it came under seal"


def _problem(note: Note, line: str, is_sealed: bool) -> str | None:
    """None: it still waits."""
    if not line:
        return "is gone"
    if merkle.leaf(line.encode()).hex() != note.leaf:
        return "is not what was written"
    return "" if is_sealed else None


def _tell(found: list[str]) -> None:
    if not found:
        return
    detail: dict[str, Any] = {"problems": found[:TOLD], "count": len(found)}
    act(Action.AUDIT_DRIFT, actor=BY, success=False, detail=detail)
    log.error("audit trail: %s", "; ".join(found[:TOLD]))


def _tell_late(age: float) -> None:
    """Once, until seals come again."""
    if age <= LATE_S:
        _Watch.told_late = False
    elif not _Watch.told_late:
        _Watch.told_late = True
        text = (
            f"an event has waited for its seal for {age:.0f} s: see whether a transaction has been "
            "open for long (pg_stat_activity), or the sealer was away"
        )
        detail = {"problems": [text], "count": 1, "unsealed_s": round(age, 1)}
        act(Action.AUDIT_DRIFT, actor=BY, success=False, detail=detail)
        log.error("audit trail: %s", text)
