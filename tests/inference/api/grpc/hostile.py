"""A client that keeps to HTTP/2 and to nothing else."""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, ResponseReceived, StreamReset
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from tests.inference.api.grpc.conftest import ECHO

A_BYTE = b"\0\0\0\0\1x"  # a message of one byte, as gRPC frames it
EMPTY = bytes(5)


class Hostile:
    """`told`: what the server has answered, by the name of the event."""

    def __init__(self, address: str, window: int | None = None) -> None:
        host, _, port = address.partition(":")
        self._authority = address
        self._socket = socket.create_connection((host, int(port)), timeout=5)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.told: Counter[str] = Counter()
        self.closed = False
        self.flush()

    def open(self, path: str = ECHO, sent: bytes | None = A_BYTE) -> int:
        """A stream with one call; None: without its message."""
        stream = self.h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self._authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        self.h2.send_headers(stream, headers)
        if sent is not None:
            self.h2.send_data(stream, sent, end_stream=True)
        return stream

    def flush(self) -> None:
        try:
            self._socket.sendall(self.h2.data_to_send())
        except OSError:
            self.closed = True

    def listen(self, seconds: float) -> None:
        """To what the server says until it has been quiet for so long, or has closed."""
        self._socket.settimeout(seconds)
        with contextlib.suppress(OSError, ProtocolError):
            while data := self._socket.recv(65536):
                for event in self.h2.receive_data(data):
                    self.told[type(event).__name__] += 1
                    if isinstance(event, ResponseReceived):
                        self.told[
                            f"grpc-status {dict[Any, Any](event.headers).get('grpc-status', '')}"
                        ] += 1
                    if isinstance(event, ConnectionTerminated | StreamReset):
                        self.told[f"{type(event).__name__} {event.error_code!r}"] += 1
                    self.closed |= isinstance(event, ConnectionTerminated)
                self.flush()
            self.closed = True

    def ignore_the_bound(self) -> None:
        """On calls at once, as the server has told it."""
        self.listen(0.2)
        self.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1_000_000
        self.h2.remote_settings.acknowledge()

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def hostile(address: str, window: int | None = None) -> Iterator[Hostile]:
    """`window`: bytes of each answer that it takes."""
    client = Hostile(address, window)
    try:
        yield client
    finally:
        client.close()
