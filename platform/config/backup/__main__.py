"""`python -m config.backup`: the supervisor's child that keeps the backups."""

import logging
import os
import signal
import sys

from config import environment, life_signs
from config.backup import configured, wishes
from config.backup.cluster import Cluster
from config.backup.process import BackupProcess
from config.supervisor.embedded.postgres_programs import VERSION, wheel
from config.supervisor.terminal import Problem


def main() -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        process = _process()
    except Problem as problem:
        sys.exit(f"forebay backup: {problem}")
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGINT, lambda *_: process.stop())
    life_signs.begin()
    process.run()


def _process() -> BackupProcess:
    programs = wheel() / f"pginstall{VERSION}" / "bin"
    cluster = Cluster.connect(os.environ["FOREBAY_BACKUP_DATABASE_URL"], programs)
    repository = configured.repository(environment.HOME, wishes.address(), cluster.system)
    return BackupProcess(environment.HOME, cluster, repository, wishes.read())


if __name__ == "__main__":
    main()
