"""pg_receivewal as a child: PostgreSQL's own receiver of the write-ahead log."""

import subprocess
import time
from pathlib import Path

from config.backup.cluster import Cluster
from config.backup_settings import RECEIVER

_PAUSE_S = 5  # between two starts


class Receiver:
    """Streams the log into the spool, over a slot that has PostgreSQL keep what is not received."""

    def __init__(self, cluster: Cluster, spool: Path, *, synchronous: bool) -> None:
        self._cluster, self._spool, self._synchronous = cluster, spool, synchronous
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self.failure = ""  # why it ended by itself

    def keep_running(self) -> None:
        """Start the program, or start it anew some seconds after it ended."""
        status = self._process.poll() if self._process else None
        if status:
            self.failure = (
                f"pg_receivewal ended with {status}: FOREBAY_HOME/logs/backup.log says why"
            )
        if time.monotonic() - self._started <= _PAUSE_S:
            return
        if self._process and status is None:
            self.failure = ""
        else:
            self._started = time.monotonic()
            self._process = self._start()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        create = [self._program, f"--slot={RECEIVER}", "--create-slot", "--if-not-exists"]
        subprocess.run(create, env=self._cluster.environment, check=True, timeout=60)
        environment = {**self._cluster.environment, "PGAPPNAME": RECEIVER}
        return subprocess.Popen([self._program, *self._words], env=environment)

    @property
    def _words(self) -> list[str]:
        words = [f"--slot={RECEIVER}", f"--directory={self._spool}", "--status-interval=1"]
        return [*words, "--no-password", *(["--synchronous"] if self._synchronous else [])]

    @property
    def _program(self) -> str:
        return str(self._cluster.programs / "pg_receivewal")
