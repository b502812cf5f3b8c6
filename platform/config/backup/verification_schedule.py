"""The nightly `forebay backup verify`, started by the process that keeps the backups."""

import logging
import os
import subprocess
import sys
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from console.backups.record import Verified

log = logging.getLogger(__name__)
_COMMAND = (sys.executable, "-m", "config.command", "backup", "verify")
_LOWEST_PRIORITY = 19  # requests go first
_STOPS_S = 5


class VerificationSchedule:
    """Starts at a time of day; what was missed while nothing ran is made up for."""

    def __init__(self, home: Path, at: time | None, zone: ZoneInfo) -> None:
        self._home, self._at, self._zone = home, at, zone
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0  # the scheduled moment of the last start

    def keep(self, now: float, base_at: float) -> None:
        """Start a verification if one is due, or note that it has ended."""
        if self._process:
            if self._process.poll() is not None:
                log.info("the verification ended with %d", self._process.returncode)
                self._process = None
        elif self.is_due(now, base_at):
            self._begun = now
            self._process = subprocess.Popen(_COMMAND, stdin=subprocess.DEVNULL)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _LOWEST_PRIORITY)

    def is_due(self, now: float, base_at: float) -> bool:
        """Returns whether its time has passed since the last one, with a base of before that."""
        if self._at is None:
            return False
        latest = self._latest(now)
        last = max(Verified.read(self._home).at, self._begun)
        return 0 < base_at < latest and last < latest

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOPS_S)
        except subprocess.TimeoutExpired:  # the next one removes its copy
            self._process.kill()
            self._process.wait()
        self._process = None

    def _latest(self, now: float) -> float:
        """Returns the last moment at which the time of day was that of the schedule."""
        assert self._at
        local = datetime.fromtimestamp(now, self._zone)
        today = datetime.combine(local.date(), self._at, self._zone)
        return (today if today <= local else today - timedelta(days=1)).timestamp()
