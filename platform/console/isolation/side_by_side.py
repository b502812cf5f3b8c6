"""The proof in several processes: each has a stage of its own and a share of the callers.

Nothing of Django is imported here: a process begins with this module, and sets Django up.
"""

import asyncio
import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterable
from itertools import zip_longest
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from console.isolation.crawler import Cell, Part
    from console.isolation.proof import Proof


class WalkFailed(Exception):
    """A process ended before its share was walked; its reason is on stderr."""


def prove(processes: int, told: Callable[["Cell"], None]) -> "Proof":
    """Raises WalkFailed. Whatever stops us, all of them take away what they made."""
    context = multiprocessing.get_context("spawn")
    walking, ears = [], list[Connection]()
    for number in range(processes):
        ear, mouth = context.Pipe(duplex=False)
        child = context.Process(target=_walk, args=((number, processes), mouth))
        child.start()
        mouth.close()
        walking.append(child)
        ears.append(ear)
    try:
        return _merged(_heard(ears, told))
    except BaseException:
        for child in walking:
            child.terminate()  # KeyboardInterrupt to it
        raise
    finally:
        for child in walking:
            child.join()


def _heard(ears: list[Connection], told: Callable[["Cell"], None]) -> list["Proof"]:
    """Cells, until each has sent its proof."""
    from console.isolation.proof import Proof

    found: dict[int, Proof] = {}
    open_ = list(ears)
    while open_:
        for ear in wait(open_):
            assert isinstance(ear, Connection)
            try:
                said = ear.recv()
            except EOFError:
                raise WalkFailed from None
            if isinstance(said, Proof):
                found[ears.index(ear)] = said
                open_.remove(ear)
            else:
                told(said)
    return [found[number] for number in range(len(ears))]


def _merged(shares: Iterable["Proof"]) -> "Proof":
    from console.isolation.proof import Proof

    by_caller: dict[str, list[Cell]] = {}
    names = []
    for share in shares:
        for cell in share.cells:
            by_caller.setdefault(cell.caller, []).append(cell)
        names.append(list(dict.fromkeys(cell.caller for cell in share.cells)))
    order = [name for row in zip_longest(*names) for name in row if name]
    touched = {table for share in shares for table in share.touched}
    return Proof([cell for name in order for cell in by_caller[name]], sorted(touched))


def _walk(part: "Part", mouth: Connection) -> None:
    """One process. Ctrl-C reaches all of them: it is the first one's to stop the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import django

    django.setup(set_prefix=False)
    from django.conf import settings
    from django.utils.module_loading import import_string

    from console.isolation import proof

    logging.disable(logging.WARNING)
    application: Any = import_string(settings.ASGI_APPLICATION)
    try:
        mouth.send(asyncio.run(proof.prove(application, part=part, told=mouth.send)))
    except KeyboardInterrupt:
        pass
    finally:
        mouth.close()
