"""A message that runs, and whose confirmation fails: the page comes back and sends it again."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from django.db import DatabaseError

from inference.chat import problems
from inference.chat.protocol import Send
from inference.chat.socket import consumer, sending
from inference.chat.socket.consumer import ChatConsumer

pytestmark = pytest.mark.unit


async def test_the_socket_closes_so_that_the_message_keeps_its_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard: list[Any] = []

    async def submit(*_: Any) -> Any:
        return SimpleNamespace(answer=SimpleNamespace(completion_id=uuid4()))

    async def look(*_: Any) -> Any:
        raise DatabaseError("away")

    async def close(code: int) -> None:
        heard.append(code)

    async def say(message: Any) -> None:
        heard.append(message)

    async def caller() -> None:
        pass

    page = ChatConsumer()
    page.scope = cast(Any, {"state": {"context": None}})
    session = {"member": None, "client_ip": "198.51.100.7", "caller": caller}
    page.chat_session = cast(Any, SimpleNamespace(**session, note_activity=caller))
    monkeypatch.setattr(sending, "submit", submit)
    monkeypatch.setattr(consumer, "off_loop", lambda *_, **__: look)
    monkeypatch.setattr(page, "close", close)
    monkeypatch.setattr(page, "_say", say)
    await page._answer(Send("once", "mock", uuid4()))
    assert heard == [problems.AGAIN_LATER]
