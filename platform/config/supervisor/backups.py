"""The process that keeps backups of the embedded PostgreSQL, if FOREBAY_BACKUP_TO asks for it."""

from config.backup import wishes
from config.supervisor.home import Home
from config.supervisor.processes import Processes
from config.supervisor.servers import Servers
from config.supervisor.terminal import Problem


def start(home: Home, processes: Processes, servers: Servers) -> None:
    """Raises Problem for a place that cannot be written to, or a missing key."""
    if not wishes.address() or wishes.address().startswith(wishes.PGBACKREST):
        return
    if not servers.has_own_database:
        raise Problem(
            "FOREBAY_BACKUP_TO names a place for the embedded PostgreSQL, and DATABASE_URL one "
            "of yours: say pgbackrest:STANZA (docs/operations/backup.md)"
        )
    wishes.read()
    _make_key(home)
    processes.keep_backups(servers.administrator["DATABASE_URL"])


def _make_key(home: Home) -> None:
    from config.backup import configured, repository  # some MB that others need not load

    try:
        configured.make_key(home)
    except repository.StoreError as error:
        raise Problem(f"FOREBAY_BACKUP_TO: {error}") from None
