"""The policy of a pool: its routing condition, the limits of its queue, its window, its lending.

Django is not imported, as in inference/engine_entries.py: the settings read this.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Literal
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = 24 * 60  # minutes
UTC_ZONE = ZoneInfo("UTC")
LONGEST_MS = 86_400_000  # a day
MOST_WAITING = 10_000_000
MOST_SLOTS = 100_000
MOST_SHARED = 0.8  # the minimum shares of all classes together
# Limits of a class: waiting requests, and their expected wait in seconds; its minimum share of
# started requests, after so many seconds without a turn; seconds without a turn after which it
# ranks one class higher (0: never); slots kept free for it and the classes above: always, and while
# it has had requests lately (then also from its own busiest tenants); the most slots of lower
# classes in that time; slots only for tenants of a weight of 2 or more.
SLOTS = ("reserved", "headroom", "lower_slots", "reserved_vip")
LIMITS = ("waiting", "wait_s", "share", "share_after_s", "ageing_s", *SLOTS)
# Keys of a pool in FOREBAY_ENGINES.
KEYS = ("condition", "overflow_after_ms", "limits", "window", "lending")
JOBS = ":jobs"  # ends the name of a queue in which a pool's jobs wait for an engine to be lent
LONGEST_LENDER = 120 - len(JOBS)  # characters of the name of a pool that lends
LONGEST_RETURN_S = 600
STOP_S = 25.0  # in which a job's trainer ends a micro-step and writes a checkpoint, by default
AUTO = "auto"
_AWAKE_BEFORE = "kept"  # the older name of `awake`


@dataclass(frozen=True, slots=True)
class PoolWindow:
    """A window from `opens` to `closes`, in minutes after midnight, which it may span.

    Batches use the engines in these hours of the tenant's time zone, and little or nothing outside.
    They are computed anew for each check: so a clock that is set takes effect at the next check and
    leaves no state behind; on days of 23 or 25 hours, the wall clock counts.

    In its first and its last `ramp` minutes the number of simultaneous requests grows and falls
    evenly. Outside of it that number is `outside`.
    """

    opens: int
    closes: int
    ramp: int = 0
    outside: int = 0

    @classmethod
    def parse(cls, text: str, *, ramp: int = 0, outside: int = 0) -> "PoolWindow | None":
        """Parse "22:00-06:00"; None for "", which is any time. Raises ValueError."""
        if not text.strip():
            return None
        opens, _, closes = text.partition("-")
        window = cls(_minutes(opens), _minutes(closes), ramp, outside)
        if window.opens == window.closes:
            raise ValueError("it opens and closes at the same time")
        if ramp < 0 or outside < 0 or 2 * ramp > window.length:
            raise ValueError("its ramp is longer than half of it, or a number is negative")
        return window

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "PoolWindow | None":
        """Returns a pool's window from `hours` ("" for any time), `ramp_minutes`, `outside`.

        Raises ValueError.
        """
        if unknown := sorted(set(fields) - {"hours", "ramp_minutes", "outside"}):
            raise ValueError(f"it has hours, ramp_minutes and outside, not {unknown[0]!r}")
        hours = fields.get("hours")
        numbers = [fields.get(name, 0) for name in ("ramp_minutes", "outside")]
        if not isinstance(hours, str):
            raise ValueError('`hours` must be a text like "22:00-06:00"')
        if not all(type(number) is int for number in numbers):
            raise ValueError("ramp_minutes and outside must be whole numbers")
        return cls.parse(hours, ramp=numbers[0], outside=numbers[1])

    @property
    def hours(self) -> str:
        """ "22:00-06:00"."""
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in (self.opens, self.closes))

    @property
    def length(self) -> int:
        """Minutes, on a day of 24 hours."""
        return (self.closes - self.opens) % DAY

    def at_once(self, now: datetime, zone: ZoneInfo, most: int) -> int:
        """Returns how many requests of a batch may be under way, `most` at the best time."""
        since, outside = self._since_opening(now.astimezone(zone)), min(self.outside, most)
        if since >= self.length:
            return outside
        if not self.ramp:
            return most
        share = min(1, (since + 1) / self.ramp, (self.length - since) / self.ramp)
        return max(outside, 1, int(most * share))

    def is_open(self, now: datetime, zone: ZoneInfo) -> bool:
        return self._since_opening(now.astimezone(zone)) < self.length

    def opens_next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Returns the next minute in which it is open. Each one is tested, for clock changes."""
        moment = now.astimezone(UTC).replace(second=0, microsecond=0)
        minutes = (moment + n * MINUTE for n in range(1, 2 * DAY))
        return next((each for each in minutes if self.is_open(each, zone)), now + DAY * MINUTE)

    def _since_opening(self, wall: datetime) -> int:
        return (wall.hour * 60 + wall.minute - self.opens) % DAY


def _minutes(text: str) -> int:
    try:
        at = time.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no time of day like 22:00") from None
    return at.hour * 60 + at.minute


@dataclass(frozen=True, slots=True)
class LendingRules:
    """The terms on which a pool lends engines to jobs (inference/lending).

    `return_s`: within so many seconds a job gives its GPU back, or is killed. So many engines are
    always `awake`; with `spare` one more is loaded, with "auto" only while a burst could fill those
    before it. Outside of `hours` nothing is lent.
    """

    return_s: int
    awake: int = 1
    spare: bool | Literal["auto"] = True
    hours: PoolWindow | None = None
    zone: ZoneInfo = UTC_ZONE

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "LendingRules | None":
        """Returns the lending of a pool's fields, None for a pool that does not lend.

        Raises ValueError.
        """
        if not fields:
            return None
        names = {"return_s", "awake", _AWAKE_BEFORE, "spare", "hours", "time_zone"}
        if unknown := sorted(set(fields) - names):
            text = "it has awake, hours, return_s, spare and time_zone, not"
            raise ValueError(f"{text} {unknown[0]!r}")
        if fields.keys() >= {"awake", _AWAKE_BEFORE}:
            raise ValueError("awake and kept are the same: give awake alone")
        return_s: Any = fields.get("return_s")
        awake, spare = fields.get("awake", fields.get(_AWAKE_BEFORE, 1)), fields.get("spare", True)
        if not _is_int(return_s) or not 1 <= return_s <= LONGEST_RETURN_S:
            raise ValueError(f"return_s must be a whole number from 1 to {LONGEST_RETURN_S}")
        if not _is_int(awake) or not 1 <= awake <= MOST_SLOTS:
            raise ValueError("awake must be a whole number, 1 or more")
        if not isinstance(spare, bool) and spare != AUTO:
            raise ValueError('spare must be true, false or "auto"')
        zone, hours = _zone(fields.get("time_zone", "UTC")), fields.get("hours", "")
        if not isinstance(hours, str):
            raise ValueError('`hours` must be a text like "22:00-06:00"')
        return cls(return_s, awake, spare, PoolWindow.parse(hours), zone)

    @property
    def stays_loaded(self) -> int:
        """Returns how many engines are never lent."""
        return self.awake + (self.spare is True)

    def is_open(self, now: datetime, ahead_s: float = 0.0) -> bool:
        """Returns whether engines may be lent now, and for `ahead_s` more."""
        moments = (now, now + timedelta(seconds=ahead_s))
        return self.hours is None or all(self.hours.is_open(each, self.zone) for each in moments)


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, TypeError, KeyError, OSError):
        raise ValueError(f"{name!r} is no time zone like Europe/Berlin") from None


def jobs_queue(pool: str) -> str:
    """Returns the name of the queue in which the jobs of a pool that lends wait."""
    return f"{pool}{JOBS}"


class RouteCondition(StrEnum):
    ALWAYS = "always"  # in its turn
    OVERFLOW = "overflow"  # if the wait in the pools before it is too long
    FAILOVER = "failover"  # if no pool before it is available


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    condition: str = RouteCondition.ALWAYS
    overflow_after_ms: int = 0  # milliseconds of expected wait, of "overflow"
    limits: Mapping[str, Any] = field(default_factory=dict, hash=False)  # by class of work
    window: Mapping[str, Any] = field(
        default_factory=dict, hash=False
    )  # of batches; {}: the installation's
    lending: Mapping[str, Any] = field(default_factory=dict, hash=False)  # {}: it does not lend


class BadPolicy(ValueError):
    """A field is wrong; `reason` tells how."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.field, self.reason = name, reason


def check(policy: PoolPolicy, classes: Collection[str]) -> None:
    """Check a policy. `classes` may have limits. Raises BadPolicy."""
    _check_condition(policy.condition, policy.overflow_after_ms)
    if not isinstance(policy.limits, Mapping):
        raise BadPolicy("limits", "must be an object")
    _check_window(policy.window)
    _check_lending(policy.lending)
    for name, limit in policy.limits.items():
        if name not in classes:
            raise BadPolicy("limits", f"there is no class {name!r}, only {', '.join(classes)}")
        _check_limit(name, limit)
    if sum(limit.get("share", 0) for limit in policy.limits.values()) > MOST_SHARED:
        raise BadPolicy("limits", f"all shares together must be at most {MOST_SHARED}")


def _check_condition(condition: Any, after_ms: Any) -> None:
    choices = tuple(map(str, RouteCondition))
    if condition not in choices:
        raise BadPolicy("condition", f"{condition!r} is none of {', '.join(choices)}")
    if not _is_int(after_ms) or not 0 <= after_ms <= LONGEST_MS:
        raise BadPolicy("overflow_after_ms", f"must be a whole number from 0 to {LONGEST_MS}")
    if condition == RouteCondition.OVERFLOW and not after_ms:
        raise BadPolicy("overflow_after_ms", "overflow begins after how many milliseconds of wait?")


def _check_window(window: Any) -> None:
    if not isinstance(window, Mapping):
        raise BadPolicy("window", "must be an object")
    try:
        PoolWindow.of(window or {"hours": ""})
    except ValueError as problem:
        raise BadPolicy("window", str(problem)) from None


def _check_lending(lending: Any) -> None:
    if not isinstance(lending, Mapping):
        raise BadPolicy("lending", "must be an object")
    try:
        LendingRules.of(lending)
    except ValueError as problem:
        raise BadPolicy("lending", str(problem)) from None


def _check_limit(name: str, limit: Any) -> None:
    if not isinstance(limit, Mapping) or limit.keys() - set(LIMITS):
        *first, last = LIMITS
        raise BadPolicy("limits", f"{name} may hold {', '.join(first)} and {last}")
    for field_name, is_valid, least, most, words in _BOUNDS:
        value = limit.get(field_name, most)
        if not is_valid(value) or not least <= value <= most:
            raise BadPolicy("limits", f"{field_name} of {name} must be {words}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


_DAY_S = LONGEST_MS // 1000
# Fields of a limit, each with its kind of number, its least and its most, and both in words.
_BOUNDS: list[tuple[str, Callable[[Any], bool], float, float, str]] = [
    ("waiting", _is_int, 1, MOST_WAITING, f"1 to {MOST_WAITING}"),
    ("wait_s", _is_number, math.ulp(0), _DAY_S, f"more than 0 and at most {_DAY_S}"),
    ("share", _is_number, 0, MOST_SHARED, f"0 to {MOST_SHARED}"),
    ("share_after_s", _is_number, 0, _DAY_S, f"0 to {_DAY_S}"),
    ("ageing_s", _is_number, 0, _DAY_S, f"0 to {_DAY_S}"),
    *((name, _is_int, 0, MOST_SLOTS, f"0 to {MOST_SLOTS} slots") for name in SLOTS),
]
