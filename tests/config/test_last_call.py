"""A server that ends breaks no request off, nor one that was on its way over a kept connection."""

import threading
from collections.abc import Iterator

import pytest
from django.test import override_settings

from config.http.connection_limit import ConnectionLimit
from tests.config.stub_server import Client, Served, Stub, serving

pytestmark = pytest.mark.unit
GET = b"GET /quick HTTP/1.1\r\nHost: a\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def served() -> Iterator[Served]:
    """Its last call takes half a second."""
    with (
        override_settings(LAST_CALL_S=0.5),
        pytest.MonkeyPatch.context() as patch,
        serving(Stub()) as found,
    ):
        patch.setattr(ConnectionLimit, "TICK_S", 0.1)
        found.patience = 10
        yield found


def ending(served: Served) -> threading.Thread:
    """Has been told, and takes no new connection."""
    thread = threading.Thread(target=served.stop)
    thread.start()
    while True:
        try:
            served.connect().socket.close()
        except ConnectionError:
            return thread


def kept(served: Served) -> Client:
    client = served.connect()
    assert b"connection: close" not in client.send(GET).answer()
    return client


def test_the_next_request_of_a_kept_connection_is_answered_as_its_last(served: Served) -> None:
    with kept(served) as client:
        ended = ending(served)
        assert b"connection: close\r\n" in client.send(GET).answer()
        assert client.rest() == b""
        ended.join(10)


def test_one_that_sends_nothing_is_closed(served: Served) -> None:
    with kept(served) as client:
        ended = ending(served)
        assert client.rest() == b""
        ended.join(10)
    assert not ended.is_alive()


def test_a_stream_ends_well_and_one_request_more_is_answered(served: Served) -> None:
    with served.connect() as client:
        begun = client.send(STREAM).socket.recv(65536)
        ended = ending(served)
        while b"0\r\n\r\n" not in begun:
            begun += client.socket.recv(65536)
        assert b"end" in begun
        assert b"connection: close\r\n" in client.send(GET).answer()
        assert client.rest() == b""
        ended.join(10)


def test_out_of_the_box_ctrl_c_waits_for_nobody(served: Served) -> None:
    with override_settings(LAST_CALL_S=0), kept(served) as client:
        ended = ending(served)
        assert client.rest() == b""
        ended.join(10)
