"""What the ledger says of a request that quotas count (tenants/sql/quota_3_reserve.sql)."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Left:
    """What remains of a quota once the request has set aside the most it can cost."""

    unit: str
    limit: int  # with raises
    remaining: int
    ends: datetime


@dataclass(frozen=True, slots=True)
class OutOfQuota:
    """The quota that has no room for what was asked. Figures are in its unit."""

    quota_id: UUID
    unit: str
    window: str
    limit: int  # with raises
    used: int  # by requests that are over
    reserved: int  # by requests in progress
    asked: int
    ends: datetime

    def __str__(self) -> str:
        """For whoever is refused; English, as everything that the API says."""
        unit = {"cost": "millionths of the currency"}.get(self.unit, self.unit)
        said = f"the quota of {self.limit} {unit} per {self.window} has no room for {self.asked}: "
        return f"{said}{self.used} are used, {self.reserved} are set aside by requests in progress"

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used - self.reserved)

    @property
    def frees_in_ms(self) -> int:
        """Until the next window begins; requests in progress may give something back before."""
        return max(1, math.ceil((self.ends.timestamp() - time.time()) * 1000))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`left` by quota; empty with `out_of`, and where no quota counts the request."""

    left: tuple[Left, ...] = ()
    out_of: OutOfQuota | None = None

    @property
    def tightest(self) -> dict[str, Left]:
        """The quota with the least left, by unit."""
        found: dict[str, Left] = {}
        for each in self.left:
            if each.unit not in found or each.remaining < found[each.unit].remaining:
                found[each.unit] = each
        return found


NO_QUOTA = Verdict()


def verdict(said: dict[str, Any] | None) -> Verdict:
    """Of the JSON that PostgreSQL answers for a row."""
    if said is None:
        return NO_QUOTA
    if refused := said["refused"]:
        return Verdict(out_of=_out_of(refused))
    taken = said["taken"]
    return Verdict(tuple(Left(unit, n, rest, _utc(ends)) for unit, n, rest, ends in taken))


def _out_of(told: dict[str, Any]) -> OutOfQuota:
    return OutOfQuota(
        quota_id=UUID(told["quota"]),
        unit=told["unit"],
        window=told["window"],
        limit=told["limit"],
        used=told["used"],
        reserved=told["reserved"],
        asked=told["asked"],
        ends=_utc(told["ends"]),
    )


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
