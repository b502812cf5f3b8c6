"""Who runs in a lower class gives its slot to a higher one, and goes on from its text."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from unittest.mock import Mock

import msgspec
import orjson
import pytest
from django.db import connection

from audit.erasure import erasers
from audit.keys.keyring import keyring
from audit.models import Event
from audit.trail.group_commit import GroupCommit
from inference.codec import events as sse
from inference.engines.base import Turn, read_on
from inference.engines.transport.session import EngineSession
from inference.intake.background import Background
from inference.intake.cancellation import Cancellation
from inference.models import Completion, Usage
from inference.order import Order
from inference.queue.client import client
from inference.queue.fair_queue import TAKE_OUT, prefix
from inference.record import request_rows, settle_unrun, sql_statements
from inference.record.parked import MOST_TIMES, Parked
from inference.stream import frames
from inference.stream.frames import Frame, Kind
from inference.stream.reader_buffer import ReaderBuffer
from inference.worker.handlers.generation import Generation
from inference.worker.preemption import Preemption
from tests.inference.conftest import forget_pool
from tests.inference.continuing import PROMPT, WHOLE, WORDS, GoesOn, answer_so_far
from tests.inference.orders import CHAT, an_order, chunk
from tests.inference.running import Bench, in_database, until
from tests.inference.scripted import Traces, generation

BATCH = {"klass": "batch", "stream": False, "reply_to": "web-1", "body": CHAT}


@pytest.fixture
async def settlement(dsn: str) -> AsyncIterator[GroupCommit]:
    commits = GroupCommit(dsn, sql_statements.SETTLED, patience_s=10)
    yield commits
    await commits.close()


async def frames_of(bench: Bench, order: Order) -> list[Frame]:
    """All that its reader gets."""

    async def to_the_end() -> list[Frame]:
        found = [f for f in await bench.returned(order.reply_to) if f.id == order.id.bytes]
        return found if found and found[-1].final else []

    found: list[Frame] = await until(to_the_end)
    return found


async def wholes(bench: Bench, order: Order) -> list[dict[str, Any]]:
    """Answers in one piece."""
    found = await frames_of(bench, order)
    return [orjson.loads(frame.body) for frame in found if frame.kind == Kind.BODY]


async def read(bench: Bench, order: Order) -> str:
    """What a stream's reader has got."""
    found = await frames_of(bench, order)
    return "".join(sse.text_in(e) for f in found for e in sse.split(f.body))


async def usage_of(order: Order) -> Usage:
    return await in_database(Usage.objects.get)(pk=order.id)


async def said_some(bench: Bench, n: int = 1, *, first: bool = True) -> None:
    """`n` requests are in their middle, for the first time or once more."""

    async def some() -> bool:
        running = [h for each in bench.runners for h in each.requests.running.values()]
        new = [
            len(h.output.events) - len(h.earlier.events)
            for h in running
            if bool(h.earlier.events) != first
        ]
        return len([each for each in new if each > 3]) >= n

    await until(some)


async def parked(bench: Bench, order: Order) -> None:
    """It waits again."""

    async def aside() -> bool:
        known = f"{prefix(bench.pool)}:on", str(order.id)
        kept = await bench.link.call("EXISTS", f"parked:{order.id.hex}")
        return bool(kept) and not await bench.link.call("HEXISTS", *known)

    await until(aside)


async def park_request(bench: Bench, engine: GoesOn, **changes: Any) -> tuple[Order, Order]:
    """One that is parked, and the one that has its slot and does not end by itself."""
    (batch,) = await bench.submit(1, **{**BATCH, **changes})
    bench.start(engine)
    await said_some(bench)
    engine.going.clear()
    (now,) = await bench.submit(1)
    await until(lambda: is_asked(engine, 2))
    await parked(bench, batch)
    return batch, now


async def submit_now(bench: Bench, engine: GoesOn, n: int = 1) -> list[Order]:
    """Nobody says anything until they are asked, too."""
    engine.going.clear()
    before = len(engine.begun)
    orders = await bench.submit(n, body=CHAT[:-1] + b',"max_tokens":3}')
    await until(lambda: is_asked(engine, before + n))
    engine.going.set()
    return orders


async def is_asked(engine: GoesOn, times: int) -> bool:
    return len(engine.begun) >= times


async def test_a_whole_answer_waits_for_a_higher_class_and_is_whole(bench: Bench) -> None:
    (batch,) = await bench.submit(1, **BATCH)
    engine = GoesOn()
    bench.start(engine)
    await said_some(bench)
    (now,) = await submit_now(bench, engine)
    await bench.settled(2)
    assert engine.begun == ["batch", "realtime", "batch"]
    assert engine.most == 1
    (answer,) = await wholes(bench, batch)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": WHOLE}
    assert answer["choices"][0]["finish_reason"] == "stop"
    counted = {"prompt_tokens": PROMPT, "completion_tokens": len(WORDS)}
    assert answer["usage"].items() >= counted.items()
    row = await usage_of(batch)
    assert (row.prompt_tokens, row.completion_tokens) == (PROMPT, len(WORDS))
    assert (row.preemptions, row.attempts) == (1, 1)
    assert (await usage_of(now)).preemptions == 0
    assert [(await frames_of(bench, order))[-1].preemptions for order in (batch, now)] == [1, 0]
    ended = Event.objects.filter(action="completion:completed").order_by("-tokens_out")
    assert [one.detail for one in await in_database(lambda: list(ended))()] == [
        {"preemptions": 1},
        {},
    ]
    assert await read(bench, now) == " w0 w1 w2"


async def test_a_stream_goes_on_for_its_reader_as_if_nothing_had_been(bench: Bench) -> None:
    (batch,) = await bench.submit(1, klass="batch", include_usage=True)
    engine = GoesOn()
    bench.start(engine)
    await said_some(bench)
    await submit_now(bench, engine)
    await bench.settled(2)
    assert engine.begun == ["batch", "realtime", "batch"]
    assert await read(bench, batch) == WHOLE
    theirs = await frames_of(bench, batch)
    events = [event for frame in theirs for event in sse.split(frame.body)]
    assert theirs[-1].last == len(events) == len(WORDS) + 4  # role, finish, usage, [DONE]
    told = sse.parsed(events[-2])["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"]) == (PROMPT, len(WORDS))
    row = await usage_of(batch)
    assert (row.prompt_tokens, row.completion_tokens) == (PROMPT, len(WORDS))
    assert row.ttft_ms is not None
    assert (row.preemptions, row.error_code) == (1, "")


async def test_only_as_many_make_room_as_come_and_a_limit_holds_all_the_same(bench: Bench) -> None:
    limited = CHAT[:-1] + b',"max_tokens":30}'
    batch = await bench.submit(3, **{**BATCH, "body": limited})
    engine = GoesOn(slots=3)
    bench.start(engine)
    await said_some(bench, 3)
    await submit_now(bench, engine)
    await bench.settled(4)
    rows = [await usage_of(order) for order in batch]
    assert sorted(row.preemptions for row in rows) == [0, 0, 1]
    assert {(row.prompt_tokens, row.completion_tokens) for row in rows} == {(PROMPT, 30)}
    assert {row.finish_reason for row in rows} == {"length"}
    answers = [each for order in batch for each in await wholes(bench, order)]
    texts = {answer["choices"][0]["message"]["content"] for answer in answers}
    assert texts == {"".join(WORDS[:30])}
    assert engine.most == 3


async def test_three_times_at_most_then_it_runs_through(bench: Bench) -> None:
    (batch,) = await bench.submit(1, **BATCH)
    engine = GoesOn()
    bench.start(engine)
    for round_ in range(MOST_TIMES):
        await said_some(bench, first=round_ == 0)
        await submit_now(bench, engine)
        await bench.settled(round_ + 1)
    await said_some(bench, first=False)
    await bench.submit(1)
    await bench.settled(MOST_TIMES + 2)
    assert engine.begun == [*["batch", "realtime"] * MOST_TIMES, "batch", "realtime"]
    row = await usage_of(batch)
    assert (row.preemptions, row.completion_tokens) == (MOST_TIMES, len(WORDS))
    (answer,) = await wholes(bench, batch)
    assert answer["choices"][0]["message"]["content"] == WHOLE


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"logprobs": True},
        {"seed": 1},
        {"presence_penalty": 1.5},
    ],
)
async def test_what_would_not_go_on_as_before_runs_through(
    bench: Bench, more: dict[str, Any]
) -> None:
    """A whole one is not even asked for in pieces, a stream is not stopped after its beginning."""
    body = orjson.dumps(orjson.loads(CHAT) | more)
    whole, stream = {**BATCH, "body": body}, {"klass": "batch", "body": body}
    (first,), (second,) = await bench.submit(1, **whole), await bench.submit(1, **stream)
    engine = GoesOn(slots=2)
    bench.start(engine)
    await said_some(bench)
    await bench.submit(1)
    rows = await bench.settled(3)
    assert engine.begun == ["batch, whole", "batch", "realtime"]
    assert {row.preemptions for row in rows} == {0}
    assert {first.id, second.id} < {row.completion_id for row in rows}


async def test_where_a_long_text_may_be_stopped_its_end_says(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece of it is looked at while it runs on: to read all of it took a worker's time."""
    await bench.submit(1, **BATCH)
    bench.start(GoesOn())
    await said_some(bench)
    (handler,) = bench.runners[0].requests.running.values()
    read = Mock(side_effect=sse.text_in)
    monkeypatch.setattr(sse, "text_in", read)
    handler.output.events += [chunk(" word")] * 5_000
    assert handler.handler.can_pause_here()
    assert read.call_count == 200
    del handler.output.events[-5_000:]
    await bench.settled(1)


async def test_text_under_a_stop_string_is_stopped_once_more_of_it_comes(bench: Bench) -> None:
    """It may have been cut off where the string began: then it is whole, and must not go on."""
    body = orjson.dumps(orjson.loads(CHAT) | {"stop": "nowhere"})
    await bench.submit(1, **{**BATCH, "body": body})
    engine = GoesOn()
    bench.start(engine)
    await said_some(bench)
    engine.going.clear()
    (handler,) = bench.runners[0].requests.running.values()
    said = len(handler.output.events)
    assert handler.park()
    await asyncio.sleep(0.2)
    assert not handler.parked, "nobody knows yet whether it is over"
    engine.going.set()
    (row,) = await bench.settled(1)
    assert (row.preemptions, row.completion_tokens) == (1, len(WORDS))
    assert said <= len(handler.output.events) <= said + 1
    assert len(engine.asked) == 2


async def test_text_is_not_stopped_in_the_middle_of_spaces(bench: Bench) -> None:
    """A template may cut them off, and the engine would say them again."""
    await bench.submit(1, **BATCH)
    bench.start(GoesOn())
    await said_some(bench)
    (handler,) = bench.runners[0].requests.running.values()
    assert handler.handler.can_pause_here()
    handler.output.events.append(chunk(" \n"))
    assert not handler.handler.can_pause_here()
    handler.output.events.pop()
    await bench.settled(1)


@pytest.mark.parametrize(
    ("stop", "inside"),
    [
        (None, False),
        ("END.", True),
        (["no", " E"], False),  # it would have ended there
        (["no", "w1 ENDING"], True),
        ("x" * 2_000, True),  # nobody looks
    ],
)
async def test_text_is_not_stopped_inside_a_stop_string(
    bench: Bench, stop: Any, inside: bool
) -> None:
    """An engine that shows the half of one would, taken up there, look for the whole of it."""
    body = orjson.dumps(orjson.loads(CHAT) | {"stop": stop})
    await bench.submit(1, **{**BATCH, "body": body})
    bench.start(GoesOn())
    await said_some(bench)
    (handler,) = bench.runners[0].requests.running.values()
    handler.output.events += [chunk(" w1"), chunk(" EN")]
    assert isinstance(handler.handler, Generation)
    handler.handler._is_followed = True
    assert handler.handler.can_pause_here() is not inside
    del handler.output.events[-2:]
    assert handler.handler.can_pause_here() is (stop is None or len(stop) < 1_000)
    await bench.settled(1)


async def test_who_vanishes_before_its_turn_parks_nobody(bench: Bench) -> None:
    (batch,) = await bench.submit(1, **BATCH)
    engine = GoesOn()
    runner = bench.start(engine)
    await said_some(bench)
    (item,) = [handler.item for handler in runner.requests.running.values()]
    assert not await bench.queue.still_wants(item, time.time())
    await bench.link.call("LPUSH", f"{prefix(bench.pool)}:inbox:{runner.id}", f"park {batch.id}")
    await bench.settled(1)
    assert (await usage_of(batch)).preemptions == 0
    assert engine.begun == ["batch"]


async def test_a_parked_one_is_cancelled_and_pays_for_what_it_took(
    bench: Bench, settlement: GroupCommit
) -> None:
    engine = GoesOn()
    batch, _ = await park_request(bench, engine)
    background = Background()
    queues: Any = {bench.pool: bench.queue}
    cancellation = Cancellation(bench.link, queues, settlement, background)
    cancellation.cancel(batch)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.status, row.preemptions) == (batch.id, 499, 1)
    assert (row.prompt_tokens, row.completion_tokens > 2) == (PROMPT, True)
    engine.going.set()
    await bench.settled(2)
    assert engine.begun == ["batch", "realtime"]
    await until(lambda: nothing_kept(bench, batch))


async def nothing_kept(bench: Bench, order: Order) -> bool:
    names = f"parked:{order.id.hex}", frames.history(order.id.bytes)
    return not await bench.link.call("EXISTS", *names)


async def test_a_parked_one_ends_at_its_deadline(bench: Bench) -> None:
    engine = GoesOn()
    batch, _ = await park_request(bench, engine)
    client.cache_clear()
    completion = await in_database(Completion.objects.get)(pk=batch.id)
    await in_database(settle_unrun.abort)(completion, batch)
    (row,) = await bench.settled(1)
    assert (row.error_code, row.preemptions, row.prompt_tokens) == ("aborted", 1, PROMPT)
    engine.going.set()
    await bench.settled(2)
    assert engine.begun == ["batch", "realtime"]
    assert await nothing_kept(bench, batch)


async def test_an_answer_that_redis_lost_while_it_was_parked_begins_anew(bench: Bench) -> None:
    engine = GoesOn()
    batch, _ = await park_request(bench, engine)
    await bench.link.call("DEL", frames.history(batch.id.bytes))
    engine.going.set()
    await bench.settled(2)
    (answer,) = await wholes(bench, batch)
    assert answer["choices"][0]["message"]["content"] == WHOLE
    row = await usage_of(batch)
    assert (row.prompt_tokens, row.completion_tokens) == (PROMPT, len(WORDS))


async def test_a_stream_that_redis_lost_while_it_was_parked_ends_with_a_clear_error(
    bench: Bench,
) -> None:
    engine = GoesOn()
    batch, _ = await park_request(bench, engine, stream=True)
    await bench.link.call("DEL", frames.history(batch.id.bytes))
    engine.going.set()
    await bench.settled(2)
    row = await usage_of(batch)
    assert (row.error_code, row.preemptions) == ("worker_lost", 1)
    assert (row.prompt_tokens, row.completion_tokens > 2) == (PROMPT, True)
    assert engine.begun == ["batch", "realtime"]


@pytest.mark.parametrize("stream", [False, True])
async def test_whose_worker_dies_while_it_puts_it_aside_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """What it has said is in Redis, and its lease runs out."""

    async def dies(*_words: Any) -> None:
        raise asyncio.CancelledError

    (batch,) = await bench.submit(1, **{**BATCH, "stream": stream})
    engine = GoesOn()
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "park", dies)
        bench.start(engine)
        await said_some(bench)
        await submit_now(bench, engine)
        await bench.settled(1)
    assert await bench.leases_run_out() == 1
    await bench.settled(2)
    row = await usage_of(batch)
    assert (row.attempts, row.error_code, row.completion_tokens) == (2, "", len(WORDS))
    if stream:
        assert await read(bench, batch) == WHOLE
    else:
        assert [a["choices"][0]["message"]["content"] for a in await wholes(bench, batch)] == [
            WHOLE
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_no_version_goes_on_with_what_another_one_has_said(
    bench: Bench, stream: bool
) -> None:
    first = GoesOn(version="v1")
    batch, _ = await park_request(bench, first, stream=stream)
    bench.runners[0].stop()
    first.going.set()
    await bench.settled(1)
    await bench.drains[0]
    second = GoesOn(version="v2")
    bench.start(second)
    await bench.settled(2)
    row = await usage_of(batch)
    if stream:
        assert (row.error_code, second.begun) == ("worker_lost", [])
    else:
        assert (row.error_code, row.completion_tokens) == ("", len(WORDS))
        assert answer_so_far(second.asked[0]) == ""


async def again(bench: Bench, order: Order, pool: str) -> None:
    """As the sweeper puts in what the queue does not know, or what has to move."""
    await in_database(Completion.objects.filter(pk=order.id).update)(pool=pool)
    cipher = await keyring.of_subject(order.tenant_id, order.subject_id)
    item = msgspec.structs.replace(order.item, attempt=2)
    await bench.queue.of(pool).enqueue(item, request_rows.encrypted_order(order, cipher))


@pytest.mark.parametrize("stream", [False, True])
async def test_moved_to_another_pool_while_it_is_parked_it_goes_on_there(
    bench: Bench, stream: bool
) -> None:
    batch, _ = await park_request(bench, GoesOn(), stream=stream)
    assert await bench.link.run(TAKE_OUT, [prefix(bench.pool)], str(batch.id))
    pool, engine = f"{bench.pool}-2", GoesOn()
    await again(bench, batch, pool)
    bench.drain(pool, engine)
    (row,) = await bench.settled(1)
    assert (row.completion_id, row.preemptions, row.error_code) == (batch.id, 1, "")
    assert (row.prompt_tokens, row.completion_tokens) == (PROMPT, len(WORDS))
    assert answer_so_far(engine.asked[0]).startswith(" w0 w1")
    if stream:
        assert await read(bench, batch) == WHOLE
    await forget_pool(bench.link, pool)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_redis_forgot_while_it_was_parked_begins_anew_and_pays_once(
    bench: Bench, stream: bool
) -> None:
    await bench.sweep()  # an epoch
    engine = GoesOn()
    batch, now = await park_request(bench, engine, stream=stream)
    await forget_pool(bench.link, bench.pool)
    await bench.link.call("DEL", f"parked:{batch.id.hex}", frames.history(batch.id.bytes))
    await again(bench, batch, bench.pool)
    engine.going.set()
    rows = await bench.settled(2)
    assert {row.completion_id for row in rows} == {batch.id, now.id}
    row = await usage_of(batch)
    assert (row.prompt_tokens, row.completion_tokens) == (PROMPT, len(WORDS))
    assert (row.attempts, row.error_code) == (2, "")
    buffer = ReaderBuffer()
    for frame in await frames_of(bench, batch):
        buffer.put(frame)
    got = [each for _ in range(200) if (each := await buffer.next(0)) is not None]
    if stream:  # its reader has had a beginning, and is not given another one's rest
        assert (got[-1].kind, b"stream_lost" in got[-1].body) == (Kind.ERROR, True)
    else:
        (whole,) = got
        assert orjson.loads(whole.body)["choices"][0]["message"]["content"] == WHOLE


async def test_a_whole_one_goes_on_although_it_may_not_be_parked_again() -> None:
    """Its runner stops, and offers nothing."""
    engine, order = GoesOn(), an_order(stream=False, klass="batch")
    work = generation(engine, order, 1, [chunk(word) for word in WORDS[:4]])
    work.earlier.parked = Parked(1, 4, PROMPT, 4)
    traces = Traces()
    outcome = await traces.run(work)
    assert outcome
    answer = orjson.loads(traces.last.body)
    assert answer["choices"][0]["message"]["content"] == WHOLE == outcome.text
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (PROMPT, len(WORDS))


# What rests in Redis meanwhile ------------------------------------------------------------------
MARK = "kestrel-of-the-parked"


async def values_in_redis(bench: Bench) -> bytes:
    """Every key of the pool, and of every parked request or stored stream, with what is in it."""
    redis = client()

    def read() -> bytes:
        names = [
            name
            for pattern in (f"{prefix(bench.pool)}:*", "parked:*", "gen:*", "ret:*")
            for name in redis.scan_iter(match=pattern, count=10_000)
        ]
        return repr([(name, _value(redis, name)) for name in names]).encode()

    return await in_database(read)()


def _value(redis: Any, name: bytes) -> Any:
    commands = {
        b"string": lambda: redis.get(name),
        b"list": lambda: redis.lrange(name, 0, -1),
        b"hash": lambda: redis.hgetall(name),
        b"set": lambda: redis.smembers(name),
        b"zset": lambda: redis.zrange(name, 0, -1),
        b"stream": lambda: redis.xrange(name),
    }
    return commands[redis.type(name)]()


class Marked(GoesOn):
    """Each word of its answers has the mark."""

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        async for events in super().events(session, order, turn):
            yield [event.replace(b" w", f" w{MARK}".encode()) for event in events]


def marked_chat() -> bytes:
    messages = [{"role": "user", "content": f"Say {MARK}"}]
    return orjson.dumps(orjson.loads(CHAT) | {"messages": messages})


async def test_neither_prompt_nor_answer_of_a_parked_request_is_readable_in_redis(
    bench: Bench,
) -> None:
    engine = Marked()
    batch, _now = await park_request(bench, engine, body=marked_chat())
    stored = await values_in_redis(bench)
    assert batch.id.hex.encode() in stored
    assert str(batch.id).encode() in stored
    assert MARK.encode() not in stored
    assert MARK.encode().hex().encode() not in stored
    kept_frames = await bench.history(batch)
    assert MARK in "".join(sse.text_in(e) for f in kept_frames for e in sse.split(f.body))
    engine.going.set()
    await bench.settled(2)


async def test_an_erasure_takes_a_parked_request_and_what_it_had_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_record", _receive)
    engine = Marked()
    batch, now = await park_request(bench, engine, body=marked_chat())
    subject = batch.tenant_id, batch.subject_id
    for name in ("requests", "streams"):
        eraser = erasers.find(name)
        assert eraser
        await in_database(eraser.erase)(*subject)
        assert await in_database(eraser.verify)(*subject) == 0
    assert (await usage_of(batch)).error_code == "erased"
    assert not await bench.link.call("EXISTS", f"parked:{batch.id.hex}")
    assert await bench.history(batch) == []
    assert not await bench.link.call("HEXISTS", f"{prefix(bench.pool)}:orders", str(batch.id))
    engine.going.set()
    await bench.settled(2)
    assert engine.begun == ["batch", "realtime"], "nobody goes on with it"
    assert (await usage_of(now)).error_code == ""


def _receive(order: Order) -> None:
    """Record the request as a web process does, with the event that names its person."""
    cipher = keyring.of_subject_now(order.tenant_id, order.subject_id)
    row = request_rows.received_row(order, request_rows.encrypted_order(order, cipher))
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])
