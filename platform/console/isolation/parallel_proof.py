"""The proof in several processes, each with a stage of its own and a share of the callers.

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
    from console.isolation.crawler import Cell
    from console.isolation.proof import IsolationProof


class WalkFailed(Exception):
    """A process ended before its share was done; its reason is on stderr."""


def prove(processes: int, on_cell: Callable[["Cell"], None]) -> "IsolationProof":
    """Prove in several processes, which clean up however this ends. Raises WalkFailed."""
    context = multiprocessing.get_context("spawn")
    walking, receivers = [], list[Connection]()
    for number in range(processes):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_walk, args=((number, processes), sender))
        child.start()
        sender.close()
        walking.append(child)
        receivers.append(receiver)
    try:
        return _merged(_shares(receivers, on_cell))
    except BaseException:
        for child in walking:
            child.terminate()  # the child turns it into KeyboardInterrupt
        raise
    finally:
        for child in walking:
            child.join()


def _shares(
    receivers: list[Connection], on_cell: Callable[["Cell"], None]
) -> list["IsolationProof"]:
    """Receive cells, until each process has sent its share of the proof."""
    from console.isolation.proof import IsolationProof

    shares: dict[int, IsolationProof] = {}
    open_ = list(receivers)
    while open_:
        for receiver in wait(open_):
            assert isinstance(receiver, Connection)
            try:
                message = receiver.recv()
            except EOFError:
                raise WalkFailed from None
            if isinstance(message, IsolationProof):
                shares[receivers.index(receiver)] = message
                open_.remove(receiver)
            else:
                on_cell(message)
    return [shares[number] for number in range(len(receivers))]


def _merged(shares: Iterable["IsolationProof"]) -> "IsolationProof":
    from console.isolation.proof import IsolationProof

    by_caller: dict[str, list[Cell]] = {}
    names = []
    for share in shares:
        for cell in share.cells:
            by_caller.setdefault(cell.caller, []).append(cell)
        names.append(list(dict.fromkeys(cell.caller for cell in share.cells)))
    order = [name for row in zip_longest(*names) for name in row if name]
    touched = {table for share in shares for table in share.touched}
    return IsolationProof([cell for name in order for cell in by_caller[name]], sorted(touched))


def _walk(part: tuple[int, int], sender: Connection) -> None:
    """Prove a share in a process, without Ctrl-C: it reaches all, and the first one stops them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import django

    django.setup(set_prefix=False)
    from django.conf import settings
    from django.utils.module_loading import import_string

    from console.isolation import proof
    from console.isolation.crawler import Extent

    logging.disable(logging.WARNING)
    application: Any = import_string(settings.ASGI_APPLICATION)
    try:
        sender.send(asyncio.run(proof.prove(application, Extent(part=part), sender.send)))
    except KeyboardInterrupt:
        pass
    finally:
        sender.close()
