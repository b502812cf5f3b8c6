"""Limits on what a websocket's client sends before it is a message: on frames, and on bytes.

A frame has two bytes at least, and each takes as long to read as a kilobyte in one piece. What is
not yet a whole message counts in the budget of requests not admitted yet (inference/intake).
"""

from functools import cached_property

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.protocol import State

from inference.intake.limits import unadmitted_bodies
from inference.intake.limits.unadmitted_bodies import BodyMemory
from tenants.rate_limits.client_address import client_ip

PIECE = 4 * 1024  # bytes that are parsed at once
MOST_FRAMES, WINDOW_S = 1_000, 10.0
OF_FRAME = 64  # bytes of memory that each frame takes beside its content


class BoundedFrames(WebSocketsSansIOProtocol):
    _frames, _window_ends = 0, 0.0
    _gathered = 0  # bytes of the frames that are not yet a message

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            self._read(data[start : start + PIECE])
            if self.transport.is_closing():
                return

    def _read(self, data: bytes) -> None:
        self.conn.receive_data(data)
        if self.conn.parser_exc is not None:
            return self.handle_parser_exception()
        if self._are_too_many(len(self.conn.events)):
            return self._refuse(CloseCode.POLICY_VIOLATION, "too many frames")
        self.handle_events()
        if not self.frames:
            self._gathered = 0
        unfinished = self._gathered + len(self.conn.reader.buffer)
        self._held.release(unfinished)
        if self._held.grow(unfinished):
            self._refuse(CloseCode.TRY_AGAIN_LATER, "too much is being sent; try again")
        return None

    def _are_too_many(self, frames: int) -> bool:
        if (now := self.loop.time()) >= self._window_ends:
            self._frames, self._window_ends = 0, now + WINDOW_S
        self._frames += frames
        return self._frames > MOST_FRAMES

    @cached_property
    def _held(self) -> BodyMemory:
        return BodyMemory(
            unadmitted_bodies.budget(), lambda: unadmitted_bodies.of_stranger(client_ip(self.scope))
        )

    def _refuse(self, code: int, why: str) -> None:
        if self.conn.state is State.OPEN:
            self.conn.fail(code, why)
            self.handle_parser_exception()
        else:
            self.transport.close()

    def handle_text(self, event: Frame) -> None:
        self._gathered = len(event.data) + OF_FRAME
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        self._gathered = len(event.data) + OF_FRAME
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        self._gathered += len(event.data) + OF_FRAME
        super().handle_cont(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._held.release()
        super().connection_lost(exc)
