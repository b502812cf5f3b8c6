"""Remembers for a moment which quotas have no room: a flood on one must not reach PostgreSQL.

It says no only to what the ledger has just said no to, or to more; who asks for less, or later
than TTL_S, asks the ledger. Where requests in progress hold what is missing, they may give it back
at any time: that is remembered only for as long as a burst takes.
"""

from dataclasses import replace
from uuid import UUID

from tenants.caller import Caller
from tenants.quotas.charge import Charge
from tenants.quotas.verdict import OutOfQuota

TTL_S, IN_PROGRESS_TTL_S = 0.5, 0.05
MOST = 10_000


class Exhausted:
    """Of one process. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[float, OutOfQuota]] = {}

    def remember(self, out_of: OutOfQuota, now: float) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        spent = out_of.asked > out_of.limit - out_of.used
        self._known[out_of.quota_id] = now + (TTL_S if spent else IN_PROGRESS_TTL_S), out_of

    def found(self, caller: Caller, model: str, charge: Charge, now: float) -> OutOfQuota | None:
        """The quota that would refuse this, if that is known."""
        for quota in caller.quotas if self._known else ():
            until, out_of = self._known.get(quota.id, (0.0, None))
            if out_of is None or quota.model not in ("", model):
                continue
            if until <= now:
                del self._known[quota.id]
            elif (asked := _amount(quota.unit, charge)) >= out_of.asked:
                return replace(out_of, asked=asked)
        return None


def _amount(unit: str, charge: Charge) -> int:
    return {"requests": 1, "tokens": charge.tokens, "cost": charge.most}[unit]
