"""The sealer's position, and reasons why it cannot continue from there."""

from typing import NamedTuple

from audit.models import SealMark
from infrastructure.postgres.queries import rows, value
from infrastructure.postgres.scope import scope

AFTER = "from audit_event where (xid, id) > (%s, %s) and id > %s"
REMEDY = "run `manage.py audit_resume --after-restore` (docs/deployment-database.md)"
_MARK = """
    select xid, event_id, restarts, set_back,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    from audit_sealmark where id = 1"""
# Skips rows whose transaction id is in the future: they are from before a restore.
_OLDEST = f"""
    select extract(epoch from now() - at)
    {AFTER} and xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    order by xid, id limit 1"""


class CannotSeal(Exception):
    """Sealing waits for an operator. The text says why, and what to do."""


class SetBack(CannotSeal):
    """This database's transaction counter is behind the sealer's position."""

    def __init__(self, xid: int, newest: int) -> None:
        super().__init__(
            f"nothing comes under seal: the sealer has come to transaction {xid}, this PostgreSQL "
            f"to {newest}, as after a restore from a dump: {REMEDY}"
        )
        self.xid = xid


class MarkLost(CannotSeal):
    """The position is missing; sealing from the start would seal everything a second time."""

    def __init__(self) -> None:
        super().__init__(
            "nothing comes under seal: there are seals, but audit_sealmark does not say how far "
            f"they reach: {REMEDY}"
        )


class Mark(NamedTuple):
    """A position: events after it are not sealed yet (see models.SealMark)."""

    xid: int = 0
    event_id: int = 0
    after_id: int = 0


def mark() -> Mark:
    """Returns the position. Raises CannotSeal."""
    marks = rows(_MARK)
    if not marks:
        if value("select exists (select from audit_seal)"):
            raise MarkLost
        return Mark()
    xid, event_id, restarts, set_back, newest = marks[0]
    if set_back or xid > newest:
        raise SetBack(xid, newest)
    return Mark(xid, event_id, max(restarts, default=0))


def stay_set_back() -> None:
    """Stops sealing until an operator has looked, even if the counter passes the mark again.

    Otherwise events written until then would be skipped.
    """
    with scope(system=True):
        SealMark.objects.filter(set_back=False).update(set_back=True)


def unsealed_age() -> float:
    """Returns how many seconds the next event has waited for its seal; 0 if none waits.

    Raises CannotSeal.
    """
    with scope(system=True):
        ages = [float(age) for (age,) in rows(_OLDEST, mark())]
        return max([0.0, *ages])
