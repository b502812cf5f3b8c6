"""Whether backups are kept, where, and how: what FOREBAY_BACKUP_TO and its neighbours say."""

from dataclasses import dataclass

from config import environment

RECEIVER = "forebay_backup"  # its slot, and its name as a standby
PGBACKREST = "pgbackrest:"  # before the name of a stanza
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Wishes:
    base_every_s: float = 24 * _HOUR_S
    keep_s: float = 72 * _HOUR_S
    spool_bytes: int = 4 << 30  # above it the receiver pauses: PostgreSQL keeps the log meanwhile
    synchronous: bool = False


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
    return Wishes(every * _HOUR_S, keep * _HOUR_S, synchronous=is_synchronous())
