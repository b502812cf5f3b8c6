"""The kind of backup that this installation keeps, and the key of its backups."""

from pathlib import Path

from config import backup_settings
from config.backup.cluster import Cluster
from config.backup.kind import Kind
from config.backup.kinds.embedded import Embedded
from config.backup.kinds.pgbackrest import PgBackRest
from config.backup.storage.backup_key import NAME, BackupKey
from config.backup.storage.repository import Repository, open_store, systems
from config.supervisor.embedded.postgres_programs import SystemUser, binaries
from config.supervisor.terminal import RunProblem
from infrastructure import private_file
from infrastructure.objects.place import StoreError

NO_PLACE = "no backups are kept here: set FOREBAY_BACKUP_TO to a folder or s3://…"


def key_file(home: Path) -> Path:
    return home / "secrets" / NAME


def make_key(home: Path) -> None:
    """Create the key of a home that has none and no backups yet. Raises RunProblem, StoreError."""
    file = key_file(home)
    if file.exists():
        return
    place = backup_settings.address()
    if there := systems(open_store(place)):
        raise RunProblem(
            f"{file} is missing, and {place} has backups (of {', '.join(there)}): put the key back "
            "from where you keep it, or set FOREBAY_BACKUP_TO to an empty place"
        )
    private_file.replace(file, BackupKey.create().text)


def kind(home: Path, place: str = "", system: str = "", superusers_url: str = "") -> Kind:
    """Returns what keeps the backups of a place, by default FOREBAY_BACKUP_TO. Raises RunProblem.

    `system` names the database where a folder or bucket has backups of several.
    """
    place = place or backup_settings.address()
    if not place:
        raise RunProblem(NO_PLACE)
    if place.startswith(backup_settings.PGBACKREST):
        return PgBackRest(place.removeprefix(backup_settings.PGBACKREST))
    user = SystemUser()
    programs = binaries(user)
    if superusers_url:  # its first backup may be the one that is asked for
        system = Cluster.connect(superusers_url, programs).system
    return Embedded(repository(home, place, system), programs, user, superusers_url)


def repository(home: Path, place: str, system: str = "") -> Repository:
    """Returns the repository of a cluster; without its identifier there must be one alone.

    Raises RunProblem.
    """
    key = BackupKey.load(key_file(home))
    store = open_store(place)
    try:
        return Repository(store, system or _only_system(systems(store), place), key)
    except StoreError as error:
        raise RunProblem(f"{place} cannot be read: {error}") from None


def _only_system(known: list[str], place: str) -> str:
    if not known:
        raise RunProblem(f"{place} has no backups")
    if len(known) > 1:
        raise RunProblem(f"{place} has backups of several databases: --system {' or '.join(known)}")
    return known[0]
