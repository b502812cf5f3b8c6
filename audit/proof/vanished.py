"""Detects events that vanish between their commit and their seal.

The database's owner can delete a row before it is sealed, and delay all seals with a transaction
that stays open. Therefore a process that writes an act leaves the act's hash in Redis as it
commits, and the sealer does so for every event that has waited for NOTED_AFTER_S
(trail/unsealed_notes.py). The sealer compares each note until its event is sealed; an event that
is gone or changed raises an alarm, which is recorded once.
"""

import logging
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError

from audit import merkle
from audit.actions import Action
from audit.proof.seal_mark import AFTER, CannotSeal, Mark, mark, unsealed_age
from audit.trail import canonical, unsealed_notes
from audit.trail.record import act
from audit.trail.unsealed_notes import Note
from infrastructure.postgres.queries import rows
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
BY = "system:sealer"
NOTED_AFTER_S = 2.0  # without a seal, which normally comes within a second
LATE_S = 10.0
AT_ONCE = 2_000  # events that one look asks the database about
MOST = 50_000  # notes while nothing is sealed
SHOWN = 20  # vanished events; all are counted
_WAITING = f"""
    select id, action, (extract(epoch from at) * 1000000)::bigint, {canonical.LINE}
    {AFTER} and at < now() - make_interval(secs => %s) order by id desc limit %s"""
_THERE = f"""
    select id, {canonical.LINE}, id <= %s or (xid, id) <= (%s, %s)
    from audit_event where id = any(%s)"""
_BEFORE_ALL = Mark(-1, -1, -1)


class _Watch:
    """The position of this process's last look, and whether it has reported a delay."""

    cursor = 0
    reported_late = False


def look() -> list[str]:
    """Returns events that vanished or changed after their commit, and raises alarms about them."""
    problems: list[str] = []
    with scope(system=True):
        try:
            reached, waits = mark(), True
        except CannotSeal:  # until an operator has looked (checks/catalogue_check.py)
            reached, waits = _BEFORE_ALL, False
        try:
            problems += _vanished(reached)
            waits = waits and _note_waiting(reached)
        except RedisError as problem:
            unsealed_notes.away(problem)
        if problems:
            _report(problems[:SHOWN], count=len(problems))
        _report_late(unsealed_age() if waits else 0.0)
    return problems


def _note_waiting(reached: Mark) -> bool:
    waiting = rows(_WAITING, [*reached, NOTED_AFTER_S, AT_ONCE])
    if waiting and unsealed_notes.count() < MOST:
        unsealed_notes.keep(
            unsealed_notes.note(n, action, at, line.encode()) for n, action, at, line in waiting
        )
    return bool(waiting)


def _vanished(reached: Mark) -> Iterator[str]:
    _Watch.cursor, notes = unsealed_notes.some(_Watch.cursor, AT_ONCE)
    if not notes:
        return
    values: list[Any] = [reached.after_id, reached.xid, reached.event_id, list(notes)]
    stored = {row[0]: row[1:] for row in rows(_THERE, values)}
    for event_id, note in notes.items():
        problem = _problem(note, *stored.get(event_id, ("", False)))
        if problem is not None and unsealed_notes.forget(event_id) and problem:
            yield f"{note.what} {problem}, before it came under seal"


def _problem(note: Note, line: str, is_sealed: bool) -> str | None:
    """Returns what is wrong with the event, "" if nothing is, or None while it is unsealed."""
    if not line:
        return "is gone"
    if merkle.leaf(line.encode()).hex() != note.leaf:
        return "is not what was written"
    return "" if is_sealed else None


def _report(problems: list[str], **figures: float) -> None:
    detail = {"problems": problems, **figures}
    act(Action.AUDIT_DRIFT, actor=BY, success=False, detail=detail)
    log.error("audit trail: %s", "; ".join(problems))


def _report_late(age: float) -> None:
    """Reports a delay once, until seals come again."""
    if age > LATE_S and not _Watch.reported_late:
        text = (
            f"an event has waited for its seal for {age:.0f} s: see whether a transaction has been "
            "open for long (pg_stat_activity), or the sealer was away"
        )
        _report([text], count=1, unsealed_s=round(age, 1))
    _Watch.reported_late = age > LATE_S
