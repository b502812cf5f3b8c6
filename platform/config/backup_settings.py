"""The settings of backups: FOREBAY_BACKUP_TO and its neighbours."""

from dataclasses import dataclass, field
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config import environment

RECEIVER = "forebay_backup"  # its slot, and its name as a standby
PGBACKREST = "pgbackrest:"  # before the name of a stanza
_HOUR_S = 3600
_AT_NIGHT = "02:40"


@dataclass(frozen=True, slots=True)
class Wishes:
    base_every_s: float = 24 * _HOUR_S
    keep_s: float = 72 * _HOUR_S
    spool_bytes: int = 4 << 30  # above it the receiver pauses: PostgreSQL keeps the log meanwhile
    synchronous: bool = False
    look_every_s: float = 1.0  # at the log that has come
    verify_at: time | None = None  # None: never
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


def address() -> str:
    """Returns a folder, a URL or pgbackrest:STANZA; "" if no backups are wanted."""
    return environment.variable("FOREBAY_BACKUP_TO")


def is_synchronous() -> bool:
    word = environment.one_of("FOREBAY_BACKUP_SYNCHRONOUS", "off", "on")
    return bool(address()) and word == "on"


def read() -> Wishes:
    """Raises environment.EnvironmentProblem."""
    keep = environment.number("FOREBAY_BACKUP_KEEP_H", 72)
    every = environment.number("FOREBAY_BACKUP_EVERY_H", 24)
    if not 1 <= every <= keep:
        raise environment.EnvironmentProblem(
            f"FOREBAY_BACKUP_EVERY_H ({every}) must be from 1 to FOREBAY_BACKUP_KEEP_H ({keep})"
        )
    return Wishes(
        every * _HOUR_S,
        keep * _HOUR_S,
        synchronous=is_synchronous(),
        verify_at=verification_time(),
        zone=_zone(),
    )


def verification_time() -> time | None:
    """Returns when to verify, None for never. Raises environment.EnvironmentProblem."""
    text = environment.variable("FOREBAY_BACKUP_VERIFY_AT", _AT_NIGHT)
    if text == "off":
        return None
    try:
        return time.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise environment.EnvironmentProblem(
            f"FOREBAY_BACKUP_VERIFY_AT ({text}) must be a time of day such as 02:40, or off"
        ) from None


def _zone() -> ZoneInfo:
    name = environment.variable("FOREBAY_TIME_ZONE", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise environment.EnvironmentProblem(f"FOREBAY_TIME_ZONE ({name}) is unknown") from None
