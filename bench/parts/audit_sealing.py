"""The sealer of the audit's bench, a process of its own: seals each second, as Celery's jobs do."""

import select
import subprocess
import sys
import time

import msgspec

from bench.parts.audit import Sealed
from bench.servers.child import REPOSITORY

EVERY_S = 1.0
SEAL, REST = "seal", "rest"


class Sealer:
    """Rests until it is told to begin. Moments are those of time.perf_counter, in both."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.parts.audit_sealing"]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.backend = int(self._heard())  # PostgreSQL's process that works for it

    def begin(self) -> None:
        self._say(SEAL)
        self._heard()

    def rest(self) -> Sealed:
        """Blocks until nothing is without a seal."""
        self._say(REST)
        return msgspec.json.decode(self._heard(), type=Sealed)

    def stop(self) -> None:
        self._process.communicate(timeout=30)

    def _say(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _heard(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the sealer ended with {self._process.wait()}")
        return line


def main() -> None:
    import django

    django.setup()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        _tell(cursor.fetchone()[0])
    found, due = Sealed([]), 0.0  # 0: it rests
    while True:
        wait = max(0.0, due - time.perf_counter()) if due else None
        if select.select([sys.stdin], [], [], wait)[0]:
            word = sys.stdin.readline().strip()
            if not word:
                return
            if word == SEAL:
                found, due = Sealed([]), time.perf_counter()
                _tell("begun")
            else:
                _all_that_is_left(found)
                due = 0.0
                _tell(msgspec.json.encode(found).decode())
        else:
            _round(found)
            due = max(due + EVERY_S, time.perf_counter())


def _round(found: Sealed) -> None:
    from audit.proof import seal
    from audit.witnesses import delivery

    began = time.perf_counter()
    if events := seal.seal_due():
        found.rounds.append((began, time.perf_counter(), events))
    delivery.feed_all()


def _all_that_is_left(found: Sealed) -> None:
    from audit.proof import seal

    began = time.perf_counter()
    while events := seal.seal_due():
        found.left += events
        found.left_s = time.perf_counter() - began


def _tell(what: object) -> None:
    print(what, flush=True)


if __name__ == "__main__":
    main()
