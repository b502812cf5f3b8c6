"""The process that keeps backups of the embedded PostgreSQL, if FOREBAY_BACKUP_TO asks for it."""

import sys
from collections.abc import Mapping

from config.backup import configured
from config.backup.repository import StoreError
from config.supervisor.child import Stage
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.servers import Servers
from config.supervisor.terminal import Problem


class Backups:
    def __init__(
        self, home: Home, keeper: Keeper, variables: Mapping[str, str], servers: Servers
    ) -> None:
        self._home, self._keeper = home, keeper
        self._variables, self._servers = variables, servers

    async def start(self) -> None:
        """Raises Problem for a place that cannot be written to, or a missing key."""
        if not configured.address():
            return
        if not self._servers.has_own_database:
            raise Problem(
                "FOREBAY_BACKUP_TO is for the embedded PostgreSQL, and DATABASE_URL names one of "
                "yours: back that up with pgBackRest (docs/operations/backup.md)"
            )
        configured.wishes()
        try:
            configured.make_key(self._home)
        except StoreError as error:
            raise Problem(f"FOREBAY_BACKUP_TO: {error}") from None
        url = self._servers.administrator["DATABASE_URL"]
        variables = {**self._variables, "FOREBAY_BACKUP_DATABASE_URL": url}
        command = [sys.executable, "-m", "config.backup"]
        child = self._keeper.child("backup", command, variables, stage=Stage.WORK, is_watched=True)
        await self._keeper.start(child, _nothing_is_missing)


async def _nothing_is_missing() -> None:
    """Report it as ready at once: a place that is away must not keep the platform from starting."""
