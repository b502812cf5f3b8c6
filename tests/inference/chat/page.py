"""What the page's scripts do on the socket, for tests that need no browser."""

import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket
from websockets.typing import Origin

Message = dict[str, Any]
PATIENCE_S = 20


class Socket:
    def __init__(
        self,
        url: str,
        session: str,
        tenant: str = "",
        origin: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        path = f"/ws/chat/?tenant={tenant}&language=en"
        self._stack = ExitStack()
        opening = open_socket(
            url.replace("http", "ws", 1) + path,
            origin=Origin(origin or url),
            additional_headers={"Cookie": f"forebay_session={session}"},
            max_size=None,
            ssl=tls,
            close_timeout=1,  # what a test left unread would hold up the closing
        )
        self._socket: ClientConnection = self._stack.enter_context(opening)

    def close(self) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        """Ours, of the connection."""
        return int(self._socket.local_address[1])

    def say(self, kind: str, **fields: Any) -> None:
        self.say_raw(json.dumps({"type": kind, **fields}))

    def say_raw(self, text: str | bytes) -> None:
        self._socket.send(text)

    def hear(self) -> Message:
        message: Message = json.loads(self._socket.recv(PATIENCE_S))
        return message

    def hear_until(self, *kinds: str) -> Message:
        while (message := self.hear())["type"] not in kinds:
            pass
        return message

    # Longer turns --------------------------------------------------------------------------------
    def send(self, text: str = "Say something.", **fields: Any) -> Message:
        """What was started, or the error."""
        sent = {"text": text, "model": "mock", "message": str(uuid4()), **fields}
        self.say("send", **sent)
        return self.hear_until("started", "error")

    def pieces(self) -> Iterator[tuple[int, str]]:
        """(number, text) of each piece, until the answer ends; `ended` is the last message."""
        while (message := self.hear())["type"] != "end":
            if message["type"] == "delta":
                first = message["event"] - len(message["pieces"]) + 1
                yield from enumerate(message["pieces"], first)
        self.ended = message

    def answer(self) -> str:
        return "".join(text for _, text in self.pieces())
