"""The port of a web process: its own, or shared by those that are meant to share it."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from config.supervisor.ports import find_free, listens
from config.web_server import bound

pytestmark = pytest.mark.unit


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_several_may_share_it(stack: ExitStack, host: str) -> None:
    port = find_free()
    for _ in range(2):
        for one in bound(host, port, shared=True):
            stack.enter_context(one).listen()


def test_a_lone_one_shares_it_with_nobody(stack: ExitStack) -> None:
    port = find_free()
    (one,) = bound("127.0.0.1", port, shared=False)
    stack.enter_context(one).listen()
    for shared in (False, True):
        with pytest.raises(OSError, match="in use"):
            bound("127.0.0.1", port, shared=shared)


def test_nobody_is_sent_to_one_that_is_still_starting(stack: ExitStack) -> None:
    port = find_free()
    ready, starting = (bound("127.0.0.1", port, shared=True)[0] for _ in range(2))
    assert not listens(os.getpid(), port)
    stack.enter_context(starting)
    stack.enter_context(ready).listen()
    assert listens(os.getpid(), port)
    assert not listens(os.getppid(), port)
    for _ in range(20):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        stack.enter_context(ready.accept()[0])
