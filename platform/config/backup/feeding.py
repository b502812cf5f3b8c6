"""The log handed to a PostgreSQL that recovers, one file after the other.

Its restore_command is a shell script that asks by an empty file and waits for an answer: the user
under whom PostgreSQL runs needs neither our code nor the backups' key.
"""

import os
import shlex
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from config.backup.stored_log import StoredLog
from config.backup.write_ahead_log.positions import SEGMENT, Segment

_AHEAD = 4  # segments are opened before they are asked for
_SCRIPT = """\
cd {folder} || exit 200
: >"wanted.$1"
until [ -e "ready.$1" ] || [ -e "absent.$1" ]; do
  [ -e failed ] && exit 200
  [ -d /proc/{process} ] || exit 200
  sleep 0.02
done
if [ -e "absent.$1" ]; then rm "absent.$1"; exit 1; fi
mv "ready.$1" "$2"
"""


class Feeder(threading.Thread):
    """Answers until `stop`. An object that cannot be read ends the recovery, and is in `error`."""

    def __init__(
        self, log: StoredLog, segment_bytes: int, folder: Path, own: Callable[[Path], None]
    ) -> None:
        super().__init__(name="backup-feeder", daemon=True)
        self._log, self._segment_bytes, self._folder, self._own = log, segment_bytes, folder, own
        self._opened: dict[str, Future[bytes | None]] = {}
        self._stopped = threading.Event()
        self.error: Exception | None = None

    def command(self, data: Path) -> str:
        """Returns PostgreSQL's restore_command. `%p` is relative to the data folder."""
        script = self._folder / "fetch.sh"
        folder = shlex.quote(str(self._folder))
        script.write_text(_SCRIPT.format(folder=folder, process=os.getpid()))
        self._own(script)
        return f"sh {shlex.quote(str(script))} %f {shlex.quote(str(data))}/%p"

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        with ThreadPoolExecutor(_AHEAD) as pool:
            while not self._stopped.wait(0.02):
                for request in self._folder.glob("wanted.*"):
                    request.unlink()
                    try:
                        self._answer(request.name.removeprefix("wanted."), pool)
                    except Exception as error:  # whatever it is, PostgreSQL must not wait for ever
                        self.error = error
                        (self._folder / "failed").touch()
                        return

    def _answer(self, name: str, pool: ThreadPoolExecutor) -> None:
        content = self._begin(name, pool).result()
        if content is None:
            (self._folder / f"absent.{name}").touch()
            self._own(self._folder / f"absent.{name}")
            return
        draft = self._folder / f"draft.{name}"
        draft.write_bytes(content)
        self._own(draft)
        draft.rename(self._folder / f"ready.{name}")
        del self._opened[name]
        if SEGMENT.fullmatch(name):
            segment = Segment.named(name, self._segment_bytes)
            for ahead in range(1, _AHEAD):
                self._begin(segment.later(ahead).name, pool)

    def _begin(self, name: str, pool: ThreadPoolExecutor) -> Future[bytes | None]:
        if name not in self._opened:
            self._opened[name] = pool.submit(self._log.get, name, self._segment_bytes)
        return self._opened[name]
