"""`python -m config.backup`: the supervisor's child that keeps the backups.

With --check it ends once place and key are known to be right.
"""

import logging
import os
import signal
import sys

from config import backup_settings, environment, process_heartbeat
from config.backup import configured
from config.backup.cluster import Cluster
from config.backup.process import BackupProcess
from config.supervisor.embedded.postgres_programs import VERSION, wheel
from config.supervisor.terminal import RunProblem
from infrastructure.objects.place import StoreError


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        configured.make_key(environment.HOME)
        process = _process()
    except (RunProblem, StoreError, environment.EnvironmentProblem) as problem:
        sys.exit(f"forebay backup: {problem}")
    if "--check" in sys.argv:
        return
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGINT, lambda *_: process.stop())
    process_heartbeat.begin()
    process.run()


def _process() -> BackupProcess:
    programs = wheel() / f"pginstall{VERSION}" / "bin"
    cluster = Cluster.connect(os.environ["FOREBAY_BACKUP_DATABASE_URL"], programs)
    place = backup_settings.address()
    repository = configured.repository(environment.HOME, place, cluster.system)
    return BackupProcess(environment.HOME, cluster, repository, backup_settings.read(), place)


if __name__ == "__main__":
    main()
