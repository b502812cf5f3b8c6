"""An answer's head and its first bytes in one write: each write is a system call and a packet, and
wakes the reader.
"""

import asyncio

MOST_JOINED = 32_768  # bytes: to copy more costs as much as a write


class HeadWithBody:
    """The transport as an answer sees it. A head alone is written when the loop's turn is over."""

    __slots__ = ("_has_begun", "_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held, self._has_begun = b"", False

    def write(self, data: bytes) -> None:
        if not self._has_begun:
            self._has_begun, self._held = True, data
            self._loop.call_soon(self._write_held)
            return
        if self._held and len(data) <= MOST_JOINED:
            data, self._held = self._held + data, b""
        elif self._held:
            self._write_held()
        self._transport.write(data)

    def _write_held(self) -> None:
        head, self._held = self._held, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._write_held()
        self._transport.close()
