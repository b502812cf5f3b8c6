"""The process that keeps backups of the embedded PostgreSQL, if FOREBAY_BACKUP_TO asks for it."""

from config import backup_settings
from config.supervisor.processes import Processes
from config.supervisor.servers import Servers
from config.supervisor.terminal import RunProblem


async def start(processes: Processes, servers: Servers) -> None:
    """Raises RunProblem for a place that cannot be written to, or a missing key."""
    place = backup_settings.address()
    if not place or place.startswith(backup_settings.PGBACKREST):
        return
    if not servers.has_own_database:
        raise RunProblem(
            "FOREBAY_BACKUP_TO names a place for the embedded PostgreSQL, and DATABASE_URL one "
            "of yours: say pgbackrest:STANZA (docs/operations/backup.md)"
        )
    await processes.keep_backups(servers.administrator["DATABASE_URL"])
