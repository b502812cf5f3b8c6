"""Starts a program, waits until it answers, and ends it by its own process id."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class DidNotStart(RuntimeError):
    """The program ended, or did not answer in time; the message ends with the tail of its log."""


class Child:
    """One started program with its log file, in a session of its own."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        folder: Path = REPOSITORY,
    ) -> None:
        self.command, self.log = command, log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_ready(self, url: str, seconds: float) -> None:
        """Returns once `url` answers 200. Else stops the program, and raises DidNotStart."""
        deadline = time.monotonic() + seconds
        try:
            while not answers(url):
                if self.process.poll() is not None:
                    raise DidNotStart(f"exit code {self.process.returncode}\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise DidNotStart(f"{url} not ready after {seconds:.0f} s\n{self.log_tail()}")
                time.sleep(0.05)
        except BaseException:
            self.stop(30)
            raise

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self, seconds: float = 15) -> float:
        """SIGTERM, then SIGKILL to the whole session after `seconds`; returns seconds it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        return time.monotonic() - started


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that other users may enter, since PostgreSQL may run as one.

    Its path is short: a PostgreSQL socket's may have 107 characters.
    """
    with tempfile.TemporaryDirectory(prefix="forebay-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def wait_until_listening(port: int, seconds: float, host: str = "127.0.0.1") -> None:
    """Returns once somebody takes connections there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((host, port), timeout=2).close()
        except OSError:
            if time.monotonic() > deadline:
                raise DidNotStart(f"nobody listens at port {port}") from None
            time.sleep(0.1)


def exit_on_sigterm() -> None:
    """Turn SIGTERM into an exit that stops the started servers."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))


def answers(url: str) -> bool:
    """Returns True where a GET of `url` gives 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
