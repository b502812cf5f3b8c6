"""The ledger's answer to a request that quotas count (tenants/sql/quota_3_reserve.sql)."""

import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tenants.caller import SESSION, Caller
from tenants.quotas.charge import Charge
from tenants.quotas.windows import ALL_TIME

TTL_S, IN_PROGRESS_TTL_S = 0.5, 0.05
SESSION_REFUSED = timedelta(days=1)  # as long a refusal is explained as one that goes on
MOST = 10_000
_WORDS = {"cost": "millionths of the currency", "gpu_seconds": "GPU-seconds"}


@dataclass(frozen=True, slots=True)
class QuotaRest:
    """The rest of a quota after the request's reservation."""

    unit: str
    limit: int  # with raises
    remaining: int
    ends: datetime

    @property
    def resets(self) -> bool:
        """Returns whether it has a next window: that of a session has none."""
        return self.ends < ALL_TIME.ends


@dataclass(frozen=True, slots=True)
class QuotaWithoutRoom:
    """A quota without room for the request. Figures are in its unit."""

    quota_id: UUID
    unit: str
    window: str
    limit: int  # with raises
    used: int  # by finished requests
    reserved: int  # by requests in progress
    asked: int
    ends: datetime

    def __str__(self) -> str:
        """The message for the refused caller, in English like all messages of the API."""
        unit = _WORDS.get(self.unit, self.unit)
        text = f"the quota of {self.limit} {unit} per {self.window} has no room for {self.asked}: "
        return f"{text}{self.used} are used, {self.reserved} are set aside by requests in progress"

    @property
    def frees_in_ms(self) -> int:
        """Milliseconds until the next window; running requests may release something before.

        A session has no next one.
        """
        if self.window == SESSION:
            return round(SESSION_REFUSED.total_seconds() * 1000)
        return max(1, math.ceil((self.ends.timestamp() - time.time()) * 1000))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict. `left` is by quota; empty with `out_of`, and if no quota counts the request."""

    left: tuple[QuotaRest, ...] = ()
    out_of: QuotaWithoutRoom | None = None

    @property
    def tightest(self) -> dict[str, QuotaRest]:
        """The quota with the least left, by unit."""
        by_unit: dict[str, QuotaRest] = {}
        for rest in self.left:
            if rest.unit not in by_unit or rest.remaining < by_unit[rest.unit].remaining:
                by_unit[rest.unit] = rest
        return by_unit


NO_QUOTA = Verdict()


def verdict(answer: dict[str, Any] | None) -> Verdict:
    """Reads PostgreSQL's JSON for a row, and takes it apart (sql/quota_3_reserve.sql)."""
    if answer is None:
        return NO_QUOTA
    if refusal := answer["refused"]:
        quota_id, ends = UUID(refusal.pop("quota")), _utc(refusal.pop("ends"))
        return Verdict(out_of=QuotaWithoutRoom(quota_id, ends=ends, **refusal))
    rows = answer["taken"]
    return Verdict(tuple(QuotaRest(unit, n, rest, _utc(ends)) for unit, n, rest, ends in rows))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


_Counter = tuple[UUID, UUID | None]  # a quota, and a session if it counts by those


def _counter(quota_id: UUID, window: str, session: UUID | None) -> _Counter:
    return quota_id, session if window == SESSION else None


class Exhausted:
    """Remembers briefly which quotas have no room: a flood on one does not reach PostgreSQL.

    It refuses only requests for as much as the ledger has just refused, or more. Smaller ones, and
    those after TTL_S, go to the ledger. Running requests may release a reservation at any time: a
    quota that they fill is remembered only for the length of a burst. Times are the event loop's.
    """

    def __init__(self) -> None:
        self._known: dict[_Counter, tuple[float, QuotaWithoutRoom]] = {}

    def remember(self, out_of: QuotaWithoutRoom, now: float, session: UUID | None = None) -> None:
        """Remember a quota without room, for the `session` of the request if it counts by those."""
        if len(self._known) >= MOST:
            self._known.clear()
        spent = out_of.asked > out_of.limit - out_of.used
        counter = _counter(out_of.quota_id, out_of.window, session)
        self._known[counter] = now + (TTL_S if spent else IN_PROGRESS_TTL_S), out_of

    def refusal(
        self,
        caller: Caller,
        model: str,
        charge: Charge,
        now: float,
        session: UUID | None = None,
    ) -> QuotaWithoutRoom | None:
        """Returns the quota that would refuse this request, if it is known."""
        if not self._known:
            return None
        amounts = {"requests": 1, "tokens": charge.tokens, "cost": charge.most}
        amounts["gpu_seconds"] = charge.gpu_seconds
        for quota in caller.quotas:
            counter = _counter(quota.id, quota.window, session)
            until, out_of = self._known.get(counter, (0.0, None))
            if out_of is None or quota.model not in ("", model):
                continue
            if until <= now:
                del self._known[counter]
            elif (amount := amounts[quota.unit]) >= out_of.asked:
                return replace(out_of, asked=amount)
        return None
