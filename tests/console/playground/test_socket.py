"""A run's messages to its page, and what the end of its socket ends, without a platform."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from console.playground import running, socket
from inference.queue.expected_wait import Place
from inference.stream.frames import Frame, Kind, error_frame

pytestmark = pytest.mark.unit
HELLO = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
WITHIN_S = 20
_communicator: Any = ApplicationCommunicator  # asgiref has no types for it


class Answer:
    """An answer that waits second in line, in place of the platform's."""

    place_now = Place(position=2)

    def __init__(self, *frames: Frame) -> None:
        self._frames = frames

    async def frames(self) -> AsyncIterator[Frame]:
        for frame in self._frames:
            yield frame


async def told(answer: Any) -> list[running.ToPage]:
    messages: list[running.ToPage] = []

    async def say(message: running.ToPage) -> None:
        messages.append(message)

    await running._tell(answer, say)
    return messages


async def test_an_answer_is_told_as_chunks_of_the_api() -> None:
    frames = [Frame(b"x", 1, 1, Kind.EVENTS, HELLO, upstream="mock"), Frame(b"x", 1, 3, 1, END)]
    waiting, first, last, over = await told(Answer(*frames))
    assert waiting == running.Waiting(1)
    assert isinstance(first, running.Events)
    assert first.chunks == [{"choices": [{"delta": {"content": "Hi"}}]}]
    assert isinstance(last, running.Events)
    assert [chunk["choices"][0]["finish_reason"] for chunk in last.chunks] == ["stop"]
    assert over == running.Over("mock")


async def test_a_failure_is_told_as_an_error_of_the_api() -> None:
    _waiting, failure, _over = await told(Answer(error_frame(1, 502, "engine_failed", "broke")))
    assert failure == running.Refused(502, "engine_failed", "broke")


class Session:
    client_ip, session_key, language = "127.0.0.1", "s", "en"
    user, member = SimpleNamespace(pk=1), SimpleNamespace(id=1, may=lambda _permission: True)

    async def caller(self) -> Any:
        return SimpleNamespace()

    async def note_activity(self) -> None:
        pass


@pytest.fixture(autouse=True)
def without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(_member: Any, look: Any, *, repeatable: bool) -> Any:
        async def answer(permission: str) -> Any:
            assert repeatable
            return look(permission)

        return answer

    monkeypatch.setattr(socket, "off_loop", here)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the runs that ended; a model that is slow runs until it is cancelled."""
    ends: list[str] = []

    async def of(_scope: Any) -> Session:
        return Session()

    async def run(_context: Any, _caller: Any, _ip: str, body: Any, say: running.Say) -> None:
        await say(running.Started("id"))
        try:
            await asyncio.sleep(WITHIN_S if body["model"] == "slow" else 0)
        except asyncio.CancelledError:
            ends.append("run")
            raise

    monkeypatch.setattr(socket, "ChatSession", SimpleNamespace(of=of))
    monkeypatch.setattr(running, "run", run)
    return ends


def opened(ends: list[str]) -> Any:
    sockets = SimpleNamespace(enter=lambda _who: None, leave=lambda _who: ends.append("place"))
    revocation = SimpleNamespace(attend=lambda *_: None, dismiss=lambda _socket: None)
    context = SimpleNamespace(limits=SimpleNamespace(sockets=sockets), revocation=revocation)
    scope = {"type": "websocket", "path": "/", "headers": [], "state": {"context": context}}
    return _communicator(socket.PlaygroundConsumer.as_asgi(), scope)


async def heard(connection: Any, *, until: str) -> list[str]:
    """Types of messages up to one, errors by their texts."""
    kinds: list[str] = []
    while until not in kinds:
        event = await connection.receive_output(WITHIN_S)
        message = json.loads(event.get("text", "{}"))
        kinds.append(message.get("message") or message.get("type") or event["type"])
    return kinds


@pytest.mark.parametrize(
    ("sent", "kinds"),
    [
        ('{"model": "m", "fields": {"prompt": "x"}}', ["started"]),
        ('{"model": "m", "fields": {}}', ["Prompt: This field is required."]),
        ("nonsense", ["This message could not be understood."]),
        ('{"x": ' + "[" * 100_000, ["This message could not be understood."]),
    ],
)
async def test_one_message_one_run(ended: list[str], sent: str, kinds: list[str]) -> None:
    connection = opened(ended)
    await connection.send_input({"type": "websocket.connect"})
    await connection.send_input({"type": "websocket.receive", "text": sent})
    ends = "websocket.close"
    assert await heard(connection, until=ends) == ["websocket.accept", *kinds, ends]
    await connection.send_input({"type": "websocket.disconnect", "code": 1000})
    await connection.wait(WITHIN_S)
    assert ended == ["place"]


async def test_a_page_that_leaves_cancels_its_run(ended: list[str]) -> None:
    connection = opened(ended)
    await connection.send_input({"type": "websocket.connect"})
    text = '{"model": "slow", "fields": {"prompt": "x"}}'
    await connection.send_input({"type": "websocket.receive", "text": text})
    await heard(connection, until="started")
    await connection.send_input({"type": "websocket.disconnect", "code": 1000})
    await connection.wait(WITHIN_S)
    assert sorted(ended) == ["place", "run"]
