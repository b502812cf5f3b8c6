"""A completion that goes well: what readers see, what is settled, and in which order."""

import base64
import gc
import json
import weakref
from typing import Any

import orjson
import pytest

from inference.codec import events as sse
from inference.engines.base import EngineFailed
from inference.reasoning import Said, unpacked
from inference.record.request_rows import aad, message_aad
from inference.stream.frames import Kind
from inference.worker import token_counts
from tests.inference.orders import an_order, chunk, event, usage
from tests.inference.scripted import ScriptedEngine, Step, Traces, generation

pytestmark = pytest.mark.unit
ROLE = chunk(role="assistant")
HELLO: list[Step] = [
    [ROLE, chunk("Hel")],
    chunk("lo"),
    [chunk(finish="stop"), usage(5, 2), sse.DONE],
]


def plain(events: list[bytes]) -> list[dict[str, object]]:
    return [sse.parsed(found) for found in events]


async def test_a_stream_from_the_first_event_to_the_last() -> None:
    traces, order = Traces(), an_order()
    outcome = await traces.of(ScriptedEngine(HELLO), order)
    assert outcome
    assert (outcome.state, outcome.status, outcome.finish_reason) == ("done", 200, "stop")
    assert (outcome.prompt_tokens, outcome.completion_tokens, outcome.text) == (5, 2, "Hello")
    assert [sse.text_in(found) for found in traces.events] == ["", "Hel", "lo", "", ""]
    assert traces.events[-1] == sse.DONE
    assert [frame.last for frame in traces.frames] == [2, 3, 5]


async def test_the_last_frame_leaves_after_the_settlement() -> None:
    traces = Traces()
    await traces.of(ScriptedEngine(HELLO), an_order())
    assert traces.order == ["events", "events", "settled", "end"]
    assert not any(sse.ends(found) for found in b"".join(f.body for f in traces.frames[:2]).split())
    whole = Traces()
    await whole.of(ScriptedEngine([answer("Hello")]), an_order(stream=False))
    assert whole.order == ["settled", "body"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_that_has_ended_leaves_nothing_to_the_garbage_collector(stream: bool) -> None:
    """The collector would stop the worker between requests."""
    traces, engine = Traces(), ScriptedEngine(HELLO if stream else [answer("Hello")])
    run = generation(engine, an_order(stream=stream))
    parts = [weakref.ref(part) for part in (run, run.handler, run.output, run.signals)]
    gc.disable()
    try:
        assert await traces.run(run)
        del run
        assert [part() for part in parts] == [None] * 4
    finally:
        gc.enable()


async def test_the_names_are_ours() -> None:
    traces, order = Traces(), an_order(model="smol")
    await traces.of(ScriptedEngine(HELLO), order)
    for found in plain(traces.events)[:-1]:
        assert found["id"] == order.public_id
        assert found["model"] == "smol"


@pytest.mark.parametrize("theirs", ["1", "a", "chatcmpl-1", "model"])
async def test_the_names_do_not_touch_the_text(theirs: str) -> None:
    def said(text: str | None, finish: str | None = None) -> bytes:
        delta = {} if text is None else {"content": text}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event({"id": theirs, "model": "theirs", "choices": [choice]})

    text = f"a1 chatcmpl-1 {theirs} model"
    traces, order = Traces(), an_order()
    await traces.of(ScriptedEngine([said(text), said(None, "stop")]), order)
    assert sse.text_in(traces.events[0]) == text
    found = sse.parsed(traces.events[0])
    assert (found["id"], found["model"]) == (order.public_id, "mock")


async def test_the_names_of_calls_are_not_taken_for_those_of_the_answer() -> None:
    """Azure writes the fields of an event in the order of their names."""

    def said(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choices = [{"delta": delta, "finish_reason": finish, "index": 0}]
        return event({"choices": choices, "id": "chatcmpl-1", "model": "theirs"})

    call = {"function": {"arguments": "{}", "name": "f"}, "id": "call_1", "index": 0}
    traces, order = Traces(), an_order()
    engine = ScriptedEngine([said({"tool_calls": [call]}), said({}, "tool_calls")])
    await traces.of(engine, order)
    first, *rest = plain(traces.events)[:-1]
    assert {each["id"] for each in (first, *rest)} == {order.public_id}
    assert b'"id":"call_1"' in traces.events[0]


@pytest.mark.parametrize("wanted", [True, False])
async def test_usage_is_told_to_those_who_asked_for_it(wanted: bool) -> None:
    traces = Traces()
    await traces.of(ScriptedEngine(HELLO), an_order(include_usage=wanted))
    told = [found for found in plain(traces.events) if found.get("usage")]
    assert len(told) == wanted
    assert traces.row["tokens_in"] == 5


async def test_usage_in_the_finishing_event_is_taken_out_of_it() -> None:
    last = sse.parsed(chunk(finish="length")) | {
        "usage": {"prompt_tokens": 9, "completion_tokens": 1}
    }
    for wanted in (False, True):
        traces = Traces()
        engine = ScriptedEngine([[chunk("a"), event(last), sse.DONE]])
        await traces.of(engine, an_order(include_usage=wanted))
        assert traces.row["tokens_in"] == 9
        assert traces.row["finish_reason"] == "length"
        told = [found for found in plain(traces.events) if found.get("usage")]
        assert len(told) == wanted
        assert sse.ends(traces.events[1])


async def test_cached_tokens_are_counted_where_the_cache_is_the_tenants_own() -> None:
    traces = Traces()
    tail = usage(100, 1, prompt_tokens_details={"cached_tokens": 64})
    engine = ScriptedEngine([[chunk("a", finish="stop"), tail]], private_cache=True)
    outcome = await traces.of(engine, an_order(include_usage=True))
    assert outcome
    assert outcome.cached_tokens == 64
    assert outcome.work_units == 102
    assert b'"cached_tokens":64' in b"".join(traces.events)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cache_that_tenants_share_is_told_to_nobody(stream: bool) -> None:
    traces = Traces()
    told = {
        "prompt_tokens": 100,
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 64},
        "prompt_cache_hit_tokens": 64,
        "prompt_cache_miss_tokens": 36,
        "cached_tokens": 64,
        "cache_read_input_tokens": 64,
        "cost": 0.01,
    }
    last: dict[str, Any] = {"usage": told, "timings": {"cache_n": 64}}
    choice = {"index": 0, "finish_reason": "stop"}
    if stream:
        finish = {"choices": [choice | {"delta": {}}], "timings": {"cache_n": 64}}
        early = event({"choices": [{"index": 0, "delta": {"content": "a"}, "usage": told}]} | last)
        engine = ScriptedEngine([early, event(finish), event({"choices": []} | last)])
    else:
        message = {"role": "assistant", "content": "a"}
        engine = ScriptedEngine([orjson.dumps({"choices": [choice | {"message": message}]} | last)])
    outcome = await traces.of(engine, an_order(stream=stream, include_usage=True))
    assert outcome
    assert (outcome.prompt_tokens, outcome.cached_tokens) == (100, 0)
    sent = b"".join(frame.body for frame in traces.frames)
    assert b'"prompt_tokens":100' in sent
    assert b"cache" not in sent
    assert b"timings" not in sent
    assert b"cost" not in sent


async def test_what_is_written_anew_has_our_names_too() -> None:
    """Python servers write a space behind each colon."""
    traces, order = Traces(), an_order(include_usage=True, model="smol")
    named = {"id": "theirs-1", "model": "theirs"}
    told = {"usage": {"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 8}}
    said: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": []} | told,
    ]
    pieces = [b"data: " + json.dumps(named | each).encode() for each in said]
    await traces.of(ScriptedEngine([*pieces]), order)
    shown = [found for found in plain(traces.events) if found]
    assert {(found["id"], found["model"]) for found in shown} == {(order.public_id, "smol")}


async def test_without_usage_we_count_ourselves() -> None:
    traces = Traces()
    pieces = [chunk(f"{n} ") for n in range(7)]
    outcome = await traces.of(ScriptedEngine([[ROLE, *pieces], chunk(finish="stop")]), an_order())
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (42, 7)


async def test_without_usage_a_call_of_a_tool_is_counted_too() -> None:
    piece = {"index": 0, "function": {"arguments": "{}"}}
    steps: list[Step] = [[ROLE, chunk(tool_calls=[piece]), chunk(finish="tool_calls")]]
    outcome = await Traces().of(ScriptedEngine(steps), an_order())
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (42, 1)


ODD: list[Any] = [
    {},
    {"prompt_tokens": "5"},
    {"prompt_tokens": -1, "completion_tokens": -1},
    {"prompt_tokens": True, "completion_tokens": True},
    {"prompt_tokens": 10**6, "completion_tokens": 10**6},
    {"prompt_tokens": 1e400, "completion_tokens": 2**40},
    {"prompt_tokens": 0, "completion_tokens": 0},  # of proxies that do not count
    [1],
    "many",
]


@pytest.mark.parametrize("odd", ODD)
async def test_numbers_that_are_none_are_not_believed(
    odd: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_counts, "_alerted", {})
    usage_event = event({"choices": [], "usage": odd})
    engine = ScriptedEngine([[chunk("a"), chunk(finish="stop"), usage_event]])
    for _ in range(2):
        outcome = await Traces().of(engine, an_order())
        assert outcome
        assert outcome.state == "done"
        assert (outcome.prompt_tokens, outcome.completion_tokens) == (42, 1)
    assert caplog.text.count("ALERT engine:usage mock") == 1, "once a minute"


@pytest.mark.parametrize("odd", [None, *ODD])
async def test_a_whole_answer_without_a_figure_is_not_for_nothing(odd: object) -> None:
    choice = {"message": {"content": "words " * 20}, "finish_reason": "stop"}
    answer = orjson.dumps({"choices": [choice], "usage": odd})
    outcome = await Traces().of(ScriptedEngine([answer]), an_order(stream=False))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (42, 30)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("stream", [False, True])
async def test_readers_get_the_figures_that_are_billed(odd: object, stream: bool) -> None:
    traces = Traces()
    choice = {"message": {"content": "words " * 20}, "finish_reason": "stop"}
    whole = orjson.dumps({"choices": [choice], "usage": odd})
    usage_event = event({"choices": [], "usage": odd})
    steps: list[Step] = [[chunk("a"), chunk(finish="stop"), usage_event]] if stream else [whole]
    order = an_order(stream=stream, include_usage=True)
    outcome = await traces.of(ScriptedEngine(steps), order)
    assert outcome
    counts = {"prompt_tokens": 42, "completion_tokens": outcome.completion_tokens}
    billed_counts = counts | {"total_tokens": 42 + outcome.completion_tokens}
    if not stream:
        assert orjson.loads(traces.last.body)["usage"] == billed_counts
        return
    usages = [chunk["usage"] for chunk in plain(traces.events) if chunk and "usage" in chunk]
    assert usages == [billed_counts]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_a_text_may_have_no_tokens(stream: bool) -> None:
    figures = {"prompt_tokens": 5, "completion_tokens": 0}
    choice = {"message": {"content": ""}, "finish_reason": "stop"}
    whole = orjson.dumps({"choices": [choice], "usage": figures})
    steps: list[Step] = [[chunk(finish="stop"), usage(5, 0)]] if stream else [whole]
    outcome = await Traces().of(ScriptedEngine(steps), an_order(stream=stream))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (5, 0)


async def test_no_more_was_cached_than_there_was() -> None:
    tail = usage(10, 1, prompt_tokens_details={"cached_tokens": 10**6})
    engine = ScriptedEngine([[chunk("a"), chunk(finish="stop"), tail]], private_cache=True)
    outcome = await Traces().of(engine, an_order())
    assert outcome
    assert (outcome.prompt_tokens, outcome.cached_tokens) == (10, 10)


async def test_comments_and_blank_events_are_left_out() -> None:
    traces = Traces()
    steps: list[Step] = [[b": keep-alive", b"", chunk("a")], b": again", chunk("b", finish="stop")]
    await traces.of(ScriptedEngine(steps), an_order())
    assert [sse.text_in(found) for found in traces.events] == ["a", "b", ""]


async def test_the_text_and_the_answer_are_sealed() -> None:
    traces, order = Traces(), an_order()
    await traces.of(ScriptedEngine(HELLO), order)
    ciphertext = base64.b64decode(traces.row["response"])
    assert traces.cipher.decrypt(ciphertext, aad(order, "response")) == b"Hello"
    assert traces.row["response_length"] == 5
    assert traces.row["message"] is None
    assert b"Hello" not in orjson.dumps(traces.row)


async def test_a_chats_answer_becomes_its_message() -> None:
    traces, order = Traces(), an_order(keeps_text=True, reply_to="")
    await traces.of(ScriptedEngine(HELLO), order)
    ciphertext = base64.b64decode(traces.row["message"])
    assert traces.cipher.decrypt(ciphertext, message_aad(order)) == b"Hello"


def answer(text: str, **more: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}} | {
        "finish_reason": "stop"
    }
    counts = {"prompt_tokens": 8, "completion_tokens": 4}
    return orjson.dumps(
        {"id": "chatcmpl-x", "model": "theirs", "choices": [choice], "usage": counts} | more
    )


async def test_a_whole_answer() -> None:
    traces, order = Traces(), an_order(stream=False, model="smol")
    outcome = await traces.of(ScriptedEngine([answer("Hello")]), order)
    assert outcome
    assert (outcome.text, outcome.prompt_tokens, outcome.completion_tokens) == ("Hello", 8, 4)
    found = orjson.loads(traces.last.body)
    assert traces.last.kind == Kind.BODY
    assert (found["id"], found["model"]) == (order.public_id, "smol")
    assert found["choices"][0]["message"]["content"] == "Hello"
    ciphertext = base64.b64decode(traces.row["response"])
    assert traces.cipher.decrypt(ciphertext, aad(order, "response")) == traces.last.body


async def test_an_answer_that_is_a_tool_call_has_no_text() -> None:
    choice = {"message": {"content": None, "tool_calls": [{}]}, "finish_reason": "tool_calls"}
    traces = Traces()
    engine = ScriptedEngine([orjson.dumps({"choices": [choice]})])
    outcome = await traces.of(engine, an_order(stream=False))
    assert outcome
    assert (outcome.text, outcome.finish_reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"choices":[]}',
        b'{"choices":null}',
        b'{"choices":[null]}',
        b'{"choices":["text"]}',
        b'{"error":{"message":"no"}}',
    ],
)
async def test_what_is_no_answer_is_an_error(body: bytes) -> None:
    traces = Traces()
    outcome = await traces.of(ScriptedEngine([body]), an_order(stream=False))
    assert outcome
    assert (outcome.state, outcome.error_code) == ("failed", "engine_failed")
    assert (traces.last.status, traces.error["code"]) == (502, "engine_failed")


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": ["stop"], "finish_reason": "stop"},
        {"choices": {"finish_reason": "stop"}},
        {"choices": [None], "finish_reason": "stop"},
        {"choices": [{"delta": "text", "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": ["a"]}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {"content": 5}, "finish_reason": "stop"}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": [1]},
    ],
)
async def test_odd_events_end_in_an_error_or_an_answer(odd: dict[str, object]) -> None:
    for place_ in (0, 1):
        traces = Traces()
        said = [chunk("a"), chunk("b")][:place_]
        await traces.of(ScriptedEngine([[*said, event(odd)]]), an_order())
        assert len(traces.rows) == 1
        assert traces.last.final


async def test_the_stream_of_plain_completions_has_text() -> None:
    def piece(text: str, finish: str | None = None) -> bytes:
        return event({"id": "cmpl-e", "choices": [{"text": text, "finish_reason": finish}]})

    traces, order = Traces(), an_order(chat=False, route="/v1/completions")
    outcome = await traces.of(ScriptedEngine([piece("a"), piece("b"), piece("", "stop")]), order)
    assert outcome
    assert outcome.text == "ab"
    assert order.public_id.startswith("cmpl-")
    assert sse.parsed(traces.events[0])["id"] == order.public_id


async def test_times_are_measured_from_the_arrival() -> None:
    order = an_order()
    order = an_order(created_at=order.created_at - 2)
    traces = Traces()
    outcome = await traces.of(ScriptedEngine([0.05, *HELLO]), order)
    assert outcome
    assert outcome.queue_ms is not None
    assert outcome.ttft_ms is not None
    assert 2000 <= outcome.queue_ms < 2500
    assert outcome.queue_ms + 50 <= outcome.ttft_ms < 3000
    assert traces.row["processing_ms"] >= outcome.ttft_ms


async def test_what_is_put_back_after_a_loss_is_all_of_it() -> None:
    from tests.inference.scripted import NO_SESSION, generation

    engine = ScriptedEngine([[ROLE, chunk("Hel")], chunk("lo"), EngineFailed(502, "x", "x")])
    traces, order = Traces(), an_order()
    running = generation(engine, order)
    assert running.handler.everything_sent() is None
    await running.work_and_settle(NO_SESSION, traces.writer, traces.ledger, traces.cipher)
    again = running.handler.everything_sent()
    assert again
    assert again.upstream, "who goes on with it has to know who began"
    assert again.body == b"".join(f.body for f in traces.frames if f.kind == Kind.EVENTS)


THOUGHT: list[Step] = [
    [ROLE, chunk(reasoning_content="Hm"), chunk(reasoning_content=".")],
    chunk("Hello"),
    [chunk(finish="stop"), usage(5, 3), sse.DONE],
]


async def test_reasoning_is_kept_beside_the_answer() -> None:
    traces, order = Traces(), an_order(keeps_text=True)
    outcome = await traces.of(ScriptedEngine(THOUGHT), order)
    assert outcome
    assert (outcome.text, outcome.reasoning) == ("Hello", "Hm.")
    ciphertext = base64.b64decode(traces.row["message"])
    stored = traces.cipher.decrypt(ciphertext, message_aad(order))
    assert unpacked(stored) == Said("Hello", "Hm.")
    on_record = base64.b64decode(traces.row["response"])
    read = traces.cipher.decrypt(on_record, aad(order, "response")).decode()
    assert read == "<think>\nHm.\n</think>\n\nHello"
