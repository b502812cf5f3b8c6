"""From frames to a page: every piece once, whatever Redis lost meanwhile."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.chat.protocol import Delta, End, Problem, ToPage, Turn, Waiting, Whole
from inference.chat.socket import follower
from inference.chat.socket.follower import Follower
from inference.codec.events import DONE
from inference.queue.expected_wait import Place
from inference.stream.frames import Frame, Kind
from infrastructure.redis.link import RedisGone

pytestmark = pytest.mark.unit
MESSAGE, COMPLETION = uuid4(), uuid4()
UNAVAILABLE = [DatabaseError("away"), MasterKeyUnavailable("away")]
Script = list[Frame | None | Exception]


def frame(first: int, *texts: str, kind: Kind = Kind.EVENTS) -> Frame:
    events = [b'data: {"choices":[{"delta":{"content":"%b"}}]}' % text.encode() for text in texts]
    if kind == Kind.END:
        events.append(DONE)
    body = b"".join(event + b"\n\n" for event in events)
    return Frame(COMPLETION.bytes, 1, first + len(events) - 1, kind, body)


def error(last: int, code: str) -> Frame:
    return Frame(COMPLETION.bytes, 1, last, Kind.ERROR, b'{"error":{"code":"%b"}}' % code.encode())


def on_record(text: str, **fields: Any) -> Turn:
    return Turn(id=MESSAGE, author="assistant", text=text, **fields)


async def heard(
    monkeypatch: pytest.MonkeyPatch,
    script: list[Script],
    record: Turn | None,
    after: int = 0,
    place: Callable[[], Place] = Place,
    unavailable: Sequence[Exception] = (),
) -> list[ToPage]:
    """Returns what a page hears. Each script is one reading of Redis; `unavailable` come first."""
    messages: list[ToPage] = []

    async def follow(_redis: Any, _id: bytes, _after: int) -> AsyncIterator[Frame | None]:
        for step in script.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step

    async def say(message: ToPage) -> None:
        messages.append(message)

    failures = iter(unavailable)

    async def look(_id: UUID) -> Turn | None:
        if failure := next(failures, None):
            raise failure
        return record

    monkeypatch.setattr(follower, "follow", follow)
    monkeypatch.setattr(follower, "RETRY_S", 0)
    await Follower(cast(Any, None), say, look, MESSAGE, COMPLETION, after, place).run()
    return messages


async def test_where_it_stands_until_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    places = iter([Place(3, 4.2), Place(3, 4.2), Place(1, 0.4), Place(1, 0.4)])
    read: Script = [None, None, frame(1, "a"), None, frame(2, "b", kind=Kind.END)]
    messages = await heard(
        monkeypatch, [read], on_record("", streaming=True), place=lambda: next(places)
    )
    assert messages[:3] == [
        Waiting(MESSAGE, 2, 5),
        Waiting(MESSAGE, 0, 1),
        Delta(MESSAGE, 1, ["a"]),
    ]
    assert not [message for message in messages[3:] if isinstance(message, Waiting)]


async def test_pieces_and_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Script = [frame(1, "a", "b"), frame(3, "c"), frame(4, "d", kind=Kind.END)]
    assert await heard(monkeypatch, [read], on_record("abcd", finish_reason="stop")) == [
        Delta(MESSAGE, 2, ["a", "b"]),
        Delta(MESSAGE, 3, ["c"]),
        Delta(MESSAGE, 5, ["d", ""]),
        End(MESSAGE, "stop"),
    ]


async def test_reasoning_comes_in_pieces_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    thoughts = b'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n'
    answer = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    first = Frame(COMPLETION.bytes, 1, 2, Kind.EVENTS, thoughts + answer)
    read: Script = [first, frame(3, "b", kind=Kind.END)]
    record = on_record("ab", reasoning="Hm", finish_reason="stop")
    assert await heard(monkeypatch, [read], record) == [
        Delta(MESSAGE, 2, ["", "a"], ["Hm", ""]),
        Delta(MESSAGE, 4, ["b", ""]),
        End(MESSAGE, "stop"),
    ]
    lost: Script = [frame(3, "b", kind=Kind.END)]
    assert (await heard(monkeypatch, [lost], record))[0] == Whole(MESSAGE, "ab", "Hm")


async def test_lost_events_come_with_the_stored_text(monkeypatch: pytest.MonkeyPatch) -> None:
    read: Script = [frame(1, "a"), frame(3, "c"), frame(4, "d", kind=Kind.END)]
    assert await heard(monkeypatch, [read], on_record("abcd", finish_reason="stop")) == [
        Delta(MESSAGE, 1, ["a"]),
        Whole(MESSAGE, "abcd"),
        End(MESSAGE, "stop"),
    ]


async def test_redis_goes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first: Script = [frame(1, "a"), RedisGone("gone")]
    second: Script = [frame(2, "b"), None, frame(3, "c", kind=Kind.END)]
    running = on_record("", streaming=True)
    messages = await heard(monkeypatch, [first, second], running)
    assert [message for message in messages if isinstance(message, Delta)] == [
        Delta(MESSAGE, 1, ["a"]),
        Delta(MESSAGE, 2, ["b"]),
        Delta(MESSAGE, 4, ["c", ""]),
    ]


async def test_redis_stays_away_but_the_answer_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    record = on_record("abc", finish_reason="length")
    assert await heard(monkeypatch, [[RedisGone("gone")]], record, after=2) == [
        Whole(MESSAGE, "abc"),
        End(MESSAGE, "length"),
    ]


async def test_silence_makes_it_look_at_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await heard(monkeypatch, [[None]], on_record("abc", finish_reason="stop")) == [
        Whole(MESSAGE, "abc"),
        End(MESSAGE, "stop"),
    ]


@pytest.mark.parametrize("unavailable", [UNAVAILABLE[:1] * 2, UNAVAILABLE[1:] * 3])
async def test_the_end_comes_when_the_record_is_back(
    monkeypatch: pytest.MonkeyPatch, unavailable: list[Exception]
) -> None:
    read: Script = [frame(1, "a"), frame(2, "b", kind=Kind.END)]
    record = on_record("ab", finish_reason="stop")
    script: list[Script] = [read, [], []]  # a reader that has all events gets no more
    messages = await heard(monkeypatch, script, record, unavailable=unavailable)
    assert messages[-1] == End(MESSAGE, "stop")


async def test_a_reader_with_all_pieces_gets_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = await heard(monkeypatch, [[]], on_record("ab", finish_reason="stop"), after=3)
    assert messages == [Whole(MESSAGE, "ab"), End(MESSAGE, "stop")]


async def test_a_failed_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = on_record("a", finish_reason="error", error=Problem("engine_failed", "It broke."))
    messages = await heard(monkeypatch, [[frame(1, "a"), error(2, "engine_failed")]], failed)
    assert messages[-1] == End(MESSAGE, "error", error=Problem("engine_failed", "It broke."))


async def test_an_answer_that_could_not_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    running = on_record("", streaming=True)
    (message,) = await heard(monkeypatch, [[error(1, "not_recorded")]], running)
    assert isinstance(message, End)
    assert message.error
    assert (message.finish_reason, message.error.code) == ("error", "not_recorded")


async def test_a_deleted_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    (message,) = await heard(monkeypatch, [[None]], None)
    assert isinstance(message, End)
    assert message.error
    assert message.error.code == "not_found"
