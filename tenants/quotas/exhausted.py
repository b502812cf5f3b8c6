"""Remembers briefly which quotas have no room, so that a flood on one does not reach PostgreSQL.

It refuses only requests for as much as the ledger has just refused, or more. Smaller ones, and
those after TTL_S, go to the ledger. Running requests may release a reservation at any time: a quota
that they fill is remembered only for the length of a burst.
"""

from dataclasses import replace
from uuid import UUID

from tenants.caller import Caller
from tenants.quotas.charge import Charge
from tenants.quotas.ledger_answer import OutOfQuota

TTL_S, IN_PROGRESS_TTL_S = 0.5, 0.05
MOST = 10_000


class Exhausted:
    """The exhausted quotas that one process knows. Times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._known: dict[UUID, tuple[float, OutOfQuota]] = {}

    def remember(self, out_of: OutOfQuota, now: float) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        spent = out_of.asked > out_of.limit - out_of.used
        self._known[out_of.quota_id] = now + (TTL_S if spent else IN_PROGRESS_TTL_S), out_of

    def refusal(self, caller: Caller, model: str, charge: Charge, now: float) -> OutOfQuota | None:
        """Returns the quota that would refuse this request, if it is known."""
        if not self._known:
            return None
        amounts = {"requests": 1, "tokens": charge.tokens, "cost": charge.most}
        for quota in caller.quotas:
            until, out_of = self._known.get(quota.id, (0.0, None))
            if out_of is None or quota.model not in ("", model):
                continue
            if until <= now:
                del self._known[quota.id]
            elif (amount := amounts[quota.unit]) >= out_of.asked:
                return replace(out_of, asked=amount)
        return None
