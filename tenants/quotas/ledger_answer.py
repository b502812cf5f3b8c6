"""The ledger's answer to a request that quotas count (tenants/sql/quota_3_reserve.sql)."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Left:
    """The rest of a quota after the request's reservation."""

    unit: str
    limit: int  # with raises
    remaining: int
    ends: datetime


@dataclass(frozen=True, slots=True)
class OutOfQuota:
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
        unit = {"cost": "millionths of the currency"}.get(self.unit, self.unit)
        text = f"the quota of {self.limit} {unit} per {self.window} has no room for {self.asked}: "
        return f"{text}{self.used} are used, {self.reserved} are set aside by requests in progress"

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used - self.reserved)

    @property
    def frees_in_ms(self) -> int:
        """Milliseconds until the next window; running requests may release something before."""
        return max(1, math.ceil((self.ends.timestamp() - time.time()) * 1000))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict. `left` is by quota; empty with `out_of`, and if no quota counts the request."""

    left: tuple[Left, ...] = ()
    out_of: OutOfQuota | None = None

    @property
    def tightest(self) -> dict[str, Left]:
        """The quota with the least left, by unit."""
        by_unit: dict[str, Left] = {}
        for rest in self.left:
            if rest.unit not in by_unit or rest.remaining < by_unit[rest.unit].remaining:
                by_unit[rest.unit] = rest
        return by_unit


NO_QUOTA = Verdict()


def verdict(answer: dict[str, Any] | None) -> Verdict:
    """Reads PostgreSQL's JSON for a row, and takes it apart (quota_3_reserve.sql)."""
    if answer is None:
        return NO_QUOTA
    if refusal := answer["refused"]:
        quota_id, ends = UUID(refusal.pop("quota")), _utc(refusal.pop("ends"))
        return Verdict(out_of=OutOfQuota(quota_id, ends=ends, **refusal))
    rows = answer["taken"]
    return Verdict(tuple(Left(unit, n, rest, _utc(ends)) for unit, n, rest, ends in rows))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
