"""uvicorn's HTTP protocol with a limit that httptools does not have: on the size of the head.

Without it, one connection may fill the memory with headers before anybody asks for a key.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 65_536


class Bounded(HttpToolsProtocol):
    _head = 0  # bytes of the head that is being read; -1 while a body is

    def data_received(self, data: bytes) -> None:
        if self._head >= 0:
            self._head += len(data)
        super().data_received(data)
        if self._head > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's head is too large")

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()
