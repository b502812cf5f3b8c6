"""Where this installation keeps its backups, and how: the variables FOREBAY_BACKUP_*."""

from pathlib import Path

from config import environment
from config.backup.backup_key import NAME, BackupKey
from config.backup.process import Wishes
from config.backup.repository import Repository, StoreError, open_store, systems
from config.supervisor.home import Home
from config.supervisor.terminal import Problem

_HOUR_S = 3600


def address() -> str:
    """Returns the folder or URL, "" if no backups are wanted."""
    return environment.variable("FOREBAY_BACKUP_TO")


def wishes() -> Wishes:
    keep = environment.number("FOREBAY_BACKUP_KEEP_H", 72)
    every = environment.number("FOREBAY_BACKUP_EVERY_H", 24)
    if not 1 <= every <= keep:
        raise Problem(
            f"FOREBAY_BACKUP_EVERY_H ({every}) must be from 1 to FOREBAY_BACKUP_KEEP_H ({keep})"
        )
    synchronous = environment.one_of("FOREBAY_BACKUP_SYNCHRONOUS", "off", "on") == "on"
    return Wishes(every * _HOUR_S, keep * _HOUR_S, synchronous=synchronous)


def key_file(home: Path) -> Path:
    return home / "secrets" / NAME


def make_key(home: Home) -> None:
    """Create the key of a home that has none and no backups yet. Raises Problem, StoreError."""
    file = key_file(home.root)
    if file.exists():
        return
    if there := systems(open_store(address())):
        raise Problem(
            f"{file} is missing, and {address()} has backups (of {', '.join(there)}): put the key "
            "back from where you keep it, or set FOREBAY_BACKUP_TO to an empty place"
        )
    home.write_private(file, BackupKey.create().text, durable=True)


def repository(home: Path, system: str = "", place: str = "") -> Repository:
    """Returns the repository of a cluster; without its identifier there must be one alone.

    Raises Problem.
    """
    place = place or address()
    if not place:
        raise Problem("no backups are kept here: set FOREBAY_BACKUP_TO to a folder or s3://…")
    key = BackupKey.load(key_file(home))
    store = open_store(place)
    try:
        return Repository(store, system or _only_system(systems(store), place), key)
    except StoreError as error:
        raise Problem(f"{place} cannot be read: {error}") from None


def _only_system(known: list[str], place: str) -> str:
    if not known:
        raise Problem(f"{place} has no backups")
    if len(known) > 1:
        raise Problem(f"{place} has backups of several databases: --system {' or '.join(known)}")
    return known[0]
