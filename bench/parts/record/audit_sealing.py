"""The sealer of the audit's part: a process that seals each second, as Celery's job does."""

import select
import subprocess
import sys
import time

import msgspec

from bench.parts.record.audit_report import Sealed
from bench.servers.child import REPOSITORY

EVERY_S = 1.0
SEAL, REST = "seal", "rest"


class Sealer:
    """Starts the process, which rests until `begin`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.parts.record.audit_sealing"]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def begin(self) -> None:
        self._order(SEAL)
        self._answer()

    def rest(self) -> Sealed:
        """Blocks until nothing is without a seal."""
        self._order(REST)
        return msgspec.json.decode(self._answer(), type=Sealed)

    def stop(self) -> None:
        self._process.communicate(timeout=30)

    def _order(self, word: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the sealer ended with {self._process.wait()}")
        return line


def main() -> None:
    import django

    django.setup()
    _answer("ready")
    sealed, due = Sealed(), 0.0  # 0: it rests
    while True:
        wait = max(0.0, due - time.perf_counter()) if due else None
        if not select.select([sys.stdin], [], [], wait)[0]:
            _seal(sealed)
            due = max(due + EVERY_S, time.perf_counter())
            continue
        match sys.stdin.readline().strip():
            case "":
                return
            case word if word == SEAL:
                sealed, due = Sealed(), time.perf_counter()
                _answer("begun")
            case _:
                _seal_the_rest(sealed)
                due = 0.0
                _answer(msgspec.json.encode(sealed).decode())


def _seal(sealed: Sealed) -> None:
    from audit.proof import seal
    from audit.witnesses import delivery

    began = time.perf_counter()
    if events := seal.seal_due():
        sealed.events += events
        sealed.seconds += time.perf_counter() - began
    delivery.feed_all()


def _seal_the_rest(sealed: Sealed) -> None:
    from audit.proof import seal

    began, before = time.perf_counter(), sealed.events
    while events := seal.seal_due():
        sealed.events += events
    sealed.left = sealed.events - before
    if sealed.left:
        sealed.seconds += time.perf_counter() - began


def _answer(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    main()
