"""The sealer of the audit's part: a process that seals each second, as Celery's job does."""

import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import django

EVERY_S = 1.0
COMMAND = "multiprocessing.spawn"  # in the command line of its process
SEAL, REST, END = "seal", "rest", "end"


@dataclass(slots=True)
class Sealed:
    """Events that the sealer sealed; `left` of them had no seal when the load was over."""

    events: int = 0
    seconds: float = 0.0
    left: int = 0


class Sealer:
    """Starts the process, which rests until `begin`."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is an EOFError here
        self._pipe.recv()

    def begin(self) -> None:
        self._pipe.send(SEAL)

    def rest(self) -> Sealed:
        """Blocks until nothing is without a seal."""
        self._pipe.send(REST)
        sealed: Sealed = self._pipe.recv()
        return sealed

    def stop(self) -> None:
        self._pipe.send(END)
        self._process.join(30)


def _serve(pipe: "Connection[Sealed | None, str]") -> None:
    django.setup()
    pipe.send(None)
    sealed, due = Sealed(), 0.0  # 0: it rests
    while True:
        wait = max(0.0, due - time.perf_counter()) if due else None
        if not pipe.poll(wait):
            _seal(sealed)
            due = max(due + EVERY_S, time.perf_counter())
            continue
        order = pipe.recv()
        if order == END:
            return
        if order == SEAL:
            sealed, due = Sealed(), time.perf_counter()
        else:
            _seal_the_rest(sealed)
            due = 0.0
            pipe.send(sealed)


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
