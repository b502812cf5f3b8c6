"""Several answers of one order by a worker: what readers see, what is settled, and what it pays."""

import asyncio
from typing import Any

import orjson
import pytest

from inference.codec import events as sse
from inference.engines.base import AnswerBroken, EngineAway
from inference.order import Order
from inference.queue.fair_queue import Popped, prefix
from inference.stream.frames import Kind
from inference.worker.engine_slots import EngineSlots
from inference.worker.handlers import choices, handler_of, patient_asking
from inference.worker.inbox import Idling
from inference.worker.run.run import Run
from inference.worker.run.state import EarlierAttempts
from tests.inference.orders import an_order, chunk, event, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine, Step, Traces

HELLO: list[Step] = [[chunk("Hel"), chunk("lo")], [chunk(finish="stop"), usage(5, 2), sse.DONE]]
BODY = {"model": "theirs", "messages": [{"role": "user", "content": "Say something"}]}


def several(n: int = 2, *, stream: bool = True, **changes: Any) -> Order:
    body = orjson.dumps({**BODY, "n": n, "stream": stream})
    return an_order(body=body, choices=n, stream=stream, **changes)


def run_of(engine: ScriptedEngine, order: Order, before: list[bytes] | None = None) -> Run:
    run = Run(order, order.item, engine, EarlierAttempts(before or ()))
    run.handler = handler_of(order)(run)
    return run


def choice(number: int, text: str, finish: str | None = None) -> bytes:
    piece = {"index": number, "delta": {"content": text}, "finish_reason": finish}
    return event({"id": "x", "model": "theirs", "choices": [piece]})


async def test_the_last_finish_reason_leaves_after_the_settlement() -> None:
    traces = Traces()
    outcome = await traces.run(run_of(ScriptedEngine(HELLO), several(include_usage=True)))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (10, 4)
    assert (outcome.state, outcome.finish_reason, outcome.work_units) == ("done", "stop", 18)
    assert traces.order[-2:] == ["settled", "end"]
    before = b"".join(frame.body for frame in traces.frames[:-1]).split(b"\n\n")
    assert sum(map(sse.ends, before)) == 1, "that of the first choice"
    finished = [sse.parsed(each) for each in traces.events if sse.ends(each)]
    assert [each["choices"][0]["index"] for each in finished] == [0, 1]
    assert sse.parsed(traces.events[-2])["usage"] == {"prompt_tokens": 10, "completion_tokens": 4}
    assert traces.events[-1] == sse.DONE
    assert traces.last.last == len(traces.events)


async def test_an_engine_that_makes_them_together_interleaves_them() -> None:
    engine = ScriptedEngine(
        [
            [choice(1, "b"), choice(0, "a")],
            choice(1, "B", "length"),
            choice(0, "A"),
            [choice(0, "", "stop"), usage(5, 4), sse.DONE],
        ]
    )
    engine.makes_choices = True
    traces = Traces()
    outcome = await traces.run(run_of(engine, several()))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (5, 4)
    response = orjson.loads(outcome.response)
    said = [(each["message"]["content"], each["finish_reason"]) for each in response["choices"]]
    assert said == [("aA", "stop"), ("bB", "length")]
    assert orjson.loads(engine.asked[0].body)["n"] == 2


@pytest.mark.parametrize("bad", [2, -1, "0", None])
async def test_an_answer_that_was_not_asked_for_is_the_engines_fault(bad: Any) -> None:
    engine = ScriptedEngine([[choice(0, "a", "stop"), choice(bad, "b", "stop"), sse.DONE]])
    engine.makes_choices = True
    traces = Traces()
    await traces.run(run_of(engine, several()))
    assert traces.last.status == 502


@pytest.mark.parametrize("stream", [True, False])
async def test_absurd_figures_of_an_engine_are_left_out_of_the_sum(stream: bool) -> None:
    counts = {"total_tokens": 2**64 - 1, "queued": -(2**63), "details": {"of": 3}}
    said = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    figures = {"prompt_tokens": 5, "completion_tokens": 2, **counts}
    body = orjson.dumps({"id": "x", "choices": [said], "usage": figures})
    streamed: list[Step] = [[chunk("Hi"), chunk(finish="stop"), usage(5, 2, **counts), sse.DONE]]
    engine = ScriptedEngine(streamed if stream else [body], private_cache=True)
    traces = Traces()
    outcome = await traces.run(run_of(engine, several(stream=stream, include_usage=True)))
    assert outcome
    assert (outcome.state, outcome.prompt_tokens, outcome.completion_tokens) == ("done", 10, 4)
    shown = orjson.loads(outcome.response)["usage"]
    assert (shown["prompt_tokens"], shown["details"]) == (10, {"of": 6})


async def test_a_stream_that_ends_before_all_have_finished_has_failed() -> None:
    engine = ScriptedEngine([[choice(0, "a", "stop"), choice(1, "b"), sse.DONE]])
    engine.makes_choices = True
    traces = Traces()
    outcome = await traces.run(run_of(engine, several()))
    assert outcome
    assert (outcome.state, outcome.completion_tokens) == ("failed", 2)
    assert traces.error["code"] == "engine_failed"


async def test_whole_answers_make_one_body() -> None:
    def whole(text: str) -> Step:
        message = {"index": 0, "message": {"content": text}, "finish_reason": "length"}
        details = {"prompt_tokens_details": {"cached_tokens": 2}}
        counts = {"prompt_tokens": 5, "completion_tokens": 1, **details}
        return orjson.dumps({"id": "x", "choices": [message], "usage": counts})

    engine = ScriptedEngine([whole("a")], [whole("b")], [whole("c")], private_cache=True)
    traces = Traces()
    outcome = await traces.run(run_of(engine, several(3, stream=False)))
    assert outcome
    assert (outcome.prompt_tokens, outcome.cached_tokens, outcome.finish_reason) == (
        15,
        6,
        "length",
    )
    assert traces.last.kind == Kind.BODY
    body = orjson.loads(traces.last.body)
    assert [each["message"]["content"] for each in body["choices"]] == ["a", "b", "c"]
    assert [each["index"] for each in body["choices"]] == [0, 1, 2]
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 6}
    assert outcome.response == traces.last.body


async def test_of_whole_answers_that_are_cut_off_the_prompts_are_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second question has not been asked yet."""
    monkeypatch.setattr(patient_asking, "REFUSES_WITHIN_S", 0.05)
    traces, run = Traces(), run_of(ScriptedEngine([30.0]), several(2, stream=False))
    working = asyncio.ensure_future(traces.run(run))
    await asyncio.sleep(0.2)
    run.cancel()
    outcome = await working
    assert outcome
    assert (outcome.state, outcome.prompt_tokens, outcome.completion_tokens) == ("cancelled", 42, 0)


ONE = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"choices":null}',
        orjson.dumps({"choices": []}),
        orjson.dumps({"choices": [ONE]}),
        orjson.dumps({"choices": [ONE, ONE]}),
        orjson.dumps({"choices": [ONE, None]}),
        orjson.dumps({"choices": [ONE, {**ONE, "index": 2}]}),
        orjson.dumps({"choices": [ONE, {**ONE, "index": []}]}),
        orjson.dumps({"choices": [ONE, {**ONE, "index": 1, "finish_reason": "abort"}]}),
    ],
)
async def test_a_bad_body_is_the_engines_fault_and_reaches_nobody(body: bytes) -> None:
    engine = ScriptedEngine([body])
    engine.makes_choices = True
    traces = Traces()
    outcome = await traces.run(run_of(engine, several(stream=False)))
    assert outcome
    assert (outcome.status, traces.error["code"]) == (502, "engine_failed")


async def test_an_engine_that_counts_nothing_is_counted_here() -> None:
    two = [{**ONE, "index": number, "message": {"content": "a" * 40}} for number in (0, 1)]
    engine = ScriptedEngine([orjson.dumps({"choices": two, "usage": [1]})])
    engine.makes_choices = True
    traces = Traces()
    outcome = await traces.run(run_of(engine, several(stream=False)))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (42, 20)
    for body in (traces.last.body, outcome.response):
        usage = {"prompt_tokens": 42, "completion_tokens": 20, "total_tokens": 62}
        assert orjson.loads(body)["usage"] == usage, "as it is billed"


async def test_answers_that_are_too_long_together_end_and_are_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choices, "LONGEST_ANSWER", 500)
    counts = {"prompt_tokens": 5, "completion_tokens": 50}
    long = {**ONE, "message": {"content": "a" * 200}}
    traces = Traces()
    engine = ScriptedEngine([orjson.dumps({"choices": [long], "usage": counts})])
    outcome = await traces.run(run_of(engine, several(stream=False)))
    assert outcome
    assert traces.error["code"] == "answer_too_long"
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (10, 100)


async def test_one_failure_ends_all_and_what_there_was_is_paid() -> None:
    engine = ScriptedEngine(HELLO, [[chunk("Hel")], AnswerBroken()])
    traces = Traces()
    outcome = await traces.run(run_of(engine, several(3)))
    assert outcome
    assert (outcome.state, outcome.prompt_tokens, outcome.completion_tokens) == ("failed", 47, 3)
    assert len(engine.asked) == 2
    assert "choice 1 of 3: the others end with it" in traces.error["message"]


async def test_a_worker_that_died_in_the_middle_is_not_gone_on_with() -> None:
    engine, traces = ScriptedEngine(HELLO), Traces()
    outcome = await traces.run(run_of(engine, several(), [choice(0, "a"), choice(1, "b")]))
    assert outcome
    assert (outcome.error_code, outcome.completion_tokens) == ("worker_lost", 2)
    assert engine.asked == []
    assert traces.last.last == 3
    whole = Traces()
    assert await whole.run(run_of(ScriptedEngine(HELLO), several()))
    assert whole.last.kind == Kind.END


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_counts_nothing_is_not_believed(stream: bool) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0}
    choice = {"index": 0, "message": {"content": "words " * 4}, "finish_reason": "stop"}
    whole = orjson.dumps({"choices": [choice], "usage": zero})
    events = [
        chunk("Hel"),
        chunk("lo"),
        chunk(finish="stop"),
        event({"choices": [], "usage": zero}),
    ]
    engine = ScriptedEngine([[*events, sse.DONE]] if stream else [whole])
    outcome = await Traces().run(run_of(engine, several(stream=stream)))
    assert outcome
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (84, 4 if stream else 12)


async def test_it_is_never_parked() -> None:
    run = run_of(ScriptedEngine(HELLO), several())
    assert not run.handler.may_be_parked()
    assert not run.park()


async def test_an_engine_that_is_away_for_one_of_them_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patient_asking, "FIRST_S", 0.01)
    engine = ScriptedEngine(HELLO, [EngineAway("not ready")], HELLO)
    traces = Traces()
    outcome = await traces.run(run_of(engine, several()))
    assert outcome
    assert (outcome.state, len(engine.asked)) == ("done", 3)


# Slots and the fair queue ------------------------------------------------------------------------
def test_further_slots_are_those_that_nobody_waits_for() -> None:
    idling = Idling()
    slots = EngineSlots("nowhere", ScriptedEngine(slots=3).config, 3, idling)
    assert not slots.borrow("realtime"), "the queue has not said that it is empty"
    idling.after_pop(Popped([]))
    assert [slots.borrow("realtime") for _ in range(4)] == [True, True, True, False]
    assert slots.free == 0
    slots.give_back(2)
    assert slots.free == 2
    idling.wake()
    assert not slots.borrow("realtime")
    slots.occupy(7)
    assert slots.free == 0
    slots.give_back(8)
    assert slots.free == 3


async def test_the_fair_queue_counts_all_answers(bench: Bench) -> None:
    body = orjson.dumps({**BODY, "n": 3, "stream": True})
    (order,) = await bench.submit(body=body, choices=3, estimate=8000)
    engine = ScriptedEngine(HELLO)
    bench.start(engine)
    await bench.settled(1)

    async def is_paid() -> bool:
        name = f"{prefix(bench.pool)}:{order.klass}:counters"
        paid = await bench.link.call("HGET", name, str(order.tenant_id))
        return float(paid or 0) == 3 * (5 + 2 * 2)

    await until(is_paid)
    assert len(engine.asked) == 3


async def test_requests_that_wait_go_before_further_answers(bench: Bench) -> None:
    """A request with many answers gets one slot while others wait for the rest."""
    slow: list[Step] = [[chunk("a")], 0.2, [chunk(finish="stop"), usage(5, 1), sse.DONE]]
    engine = ScriptedEngine(slow, slots=2)
    body = orjson.dumps({**BODY, "n": 4, "stream": True})
    await bench.submit(body=body, choices=4)
    others = await bench.submit(4)
    bench.start(engine)
    usages = await bench.settled(5)
    assert {row.completion_id for row in usages[:2]} <= {order.id for order in others}
    assert len(engine.asked) == 8
