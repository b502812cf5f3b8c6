"""A completion that goes wrong: an error frame, one settlement, and never a false finish."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest

from audit.trail.group_commit import StoreUnavailable
from inference import classes
from inference.codec import events as sse
from inference.engines.base import AnswerBroken, AnswerTooLong, EngineAway, EngineFailed
from inference.engines.transport.session import EngineSession
from inference.order import Item, Order
from inference.stream.frames import Kind
from inference.worker.guard import Guard
from inference.worker.handlers import handler_of
from inference.worker.handlers import patient_asking as module
from tenants.quotas.charge import Charge
from tests.inference.orders import an_order, chunk, usage
from tests.inference.scripted import ScriptedEngine, Step, Traces, generation

MAX_ATTEMPTS = classes.of("realtime").most_attempts
pytestmark = pytest.mark.unit
SPOKEN: list[Step] = [[chunk(role="assistant"), chunk("Hel")], chunk("lo")]
END: list[Step] = [[chunk(finish="stop"), usage(5, 2), sse.DONE]]


def no_finish_was_told(traces: Traces) -> bool:
    return not any(sse.ends(found) or found == sse.DONE for found in traces.events)


async def test_a_stream_that_breaks_off_ends_in_an_error() -> None:
    traces = Traces()
    outcome = await traces.of(ScriptedEngine(SPOKEN), an_order())
    assert outcome
    assert (traces.last.status, traces.error["code"]) == (502, "engine_failed")
    assert no_finish_was_told(traces)
    assert traces.order == ["events", "events", "settled", "error"]
    row = traces.row
    assert (row["state"], row["finish_reason"], row["error_code"]) == (
        "failed",
        "error",
        "engine_failed",
    )
    assert (row["tokens_in"], row["tokens_out"], row["response_length"]) == (42, 2, 5)


async def test_done_without_a_finish_reason_is_broken_off_too() -> None:
    traces = Traces()
    await traces.of(ScriptedEngine([*SPOKEN, sse.DONE]), an_order())
    assert traces.error["code"] == "engine_failed"
    assert traces.row["finish_reason"] == "error"


async def test_a_finish_reason_that_postgresql_cannot_store_is_recorded_all_the_same() -> None:
    whole = {"message": {"content": "Hello"}, "finish_reason": "st\0op"}
    body = orjson.dumps({"choices": [whole], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    ends: list[Step] = [[chunk(finish="st\0op"), usage(5, 2), sse.DONE]]
    streamed, at_once = [*SPOKEN, *ends], list[Step]([body])
    for turn, stream in ((streamed, True), (at_once, False)):
        traces = Traces()
        await traces.of(ScriptedEngine(turn), an_order(stream=stream))
        assert (traces.row["state"], traces.row["finish_reason"]) == ("done", "stop")


async def test_an_outcome_that_cannot_be_made_is_settled_as_a_failure() -> None:
    """Unsettled it would be generated again and again, and its reader would wait."""
    deep = b'{"prompt_tokens":5,"completion_tokens":2,"more":%b1%b}' % (b'{"a":' * 300, b"}" * 300)
    figures = b'data: {"choices":[],"usage":%b}' % deep
    ends: list[Step] = [[chunk(finish="stop"), figures, sse.DONE]]
    engine = ScriptedEngine([*SPOKEN, *ends], private_cache=True)
    traces = Traces()
    outcome = await traces.of(engine, an_order(idempotent=True, include_usage=True))
    assert outcome
    assert (traces.row["state"], traces.row["error_code"]) == ("failed", "engine_failed")
    assert (traces.last.status, traces.error["code"]) == (502, "engine_failed")
    assert no_finish_was_told(traces)


async def test_an_engine_that_fails_before_the_first_token_gives_its_status() -> None:
    for failure in (
        EngineFailed(400, "context_length_exceeded", "too long"),
        EngineFailed(503, "server_overloaded", "the engine is full", retry_after=1),
    ):
        traces = Traces()
        outcome = await traces.of(ScriptedEngine([failure]), an_order())
        assert outcome
        assert traces.order == ["settled", "error"]
        assert (traces.last.status, traces.last.retry_after) == (
            failure.status,
            failure.retry_after,
        )
        assert (traces.error["code"], traces.error["message"]) == (failure.code, failure.message)
        assert (outcome.prompt_tokens, outcome.completion_tokens) == (0, 0)
        assert traces.row["status"] == failure.status


async def test_an_error_event_in_the_stream_is_an_error() -> None:
    refused = b'data: {"error":{"code":400,"message":"the request exceeds the context size"}}'
    for wrong in (refused, b"error: " + refused[6:]):
        traces = Traces()
        await traces.of(ScriptedEngine([wrong]), an_order())
        assert traces.error["code"] == "context_length_exceeded"
        assert traces.last.status == 400


async def test_an_error_event_does_not_swallow_what_came_before_it() -> None:
    wrong = b'data: {"error":{"message":"out of memory"}}'
    traces = Traces()
    await traces.of(ScriptedEngine([[chunk("Hel"), chunk("lo"), wrong]]), an_order())
    assert [sse.text_in(found) for found in traces.events] == ["Hel", "lo"]
    assert traces.row["tokens_out"] == 2
    assert traces.error["code"] == "engine_failed"


async def test_an_engine_that_is_away_is_asked_again() -> None:
    traces = Traces()
    engine = ScriptedEngine([EngineAway("loading")], [EngineAway("loading")], [*SPOKEN, *END])
    outcome = await traces.of(engine, an_order())
    assert outcome
    assert outcome.state == "done"
    assert len(engine.asked) == 3


async def test_patience_with_an_engine_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENGINE_PATIENCE_S", 0.3)
    for stream in (True, False):
        traces, engine = Traces(), ScriptedEngine([EngineAway("no connection")])
        began = time.monotonic()
        await traces.of(engine, an_order(stream=stream))
        assert time.monotonic() - began < 1
        assert len(engine.asked) >= 2
        assert (traces.last.status, traces.error["code"]) == (503, "engine_unavailable")
        assert traces.last.retry_after


async def test_an_engine_that_goes_in_mid_answer_is_not_asked_again() -> None:
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, EngineAway("gone")])
    await traces.of(engine, an_order())
    assert len(engine.asked) == 1
    assert traces.error["code"] == "engine_unavailable"
    assert traces.row["tokens_out"] == 2


async def test_an_answer_too_long_to_be_read_is_not_for_nothing() -> None:
    for aside, counted in ((100_000, 4096), (300, 300)):
        traces, order = Traces(), an_order(stream=False, charge=Charge(completion_tokens=aside))
        await traces.of(ScriptedEngine([AnswerTooLong()]), order)
        assert (traces.last.status, traces.error["code"]) == (502, "answer_too_long")
        assert (traces.row["tokens_in"], traces.row["tokens_out"]) == (42, counted)


async def test_a_deadline_ends_it() -> None:
    for spoken in ([], SPOKEN):
        traces, engine = Traces(), ScriptedEngine([*spoken, 5.0])
        await traces.of(engine, an_order(deadline=time.time() + 0.2))
        assert (traces.last.status, traces.error["code"]) == (504, "deadline_exceeded")
        assert engine.speaking == 0
        assert no_finish_was_told(traces)


async def test_one_whose_deadline_has_passed_is_cut_at_once() -> None:
    traces, engine = Traces(), ScriptedEngine([0.05, *SPOKEN, *END])
    await traces.of(engine, an_order(deadline=time.time() - 1))
    assert traces.error["code"] == "deadline_exceeded"
    assert traces.row["tokens_out"] == 0


class Listening(Guard):
    """Hears what is told of the engine."""

    def report_outcome(self, item: Item, failure: EngineFailed | None, *, cancelled: bool) -> None:
        self.failure = failure


async def test_a_fault_of_ours_is_none_of_the_engine() -> None:
    running = generation(ScriptedEngine([KeyError("ours")]), an_order())
    guard, traces = Listening(), Traces()
    running.services = replace(running.services, guard=guard)
    await traces.run(running)
    assert traces.error["code"] == "engine_failed"
    assert guard.failure
    assert not guard.failure.counts


@pytest.mark.parametrize("stream", [True, False])
async def test_a_whole_answer_that_takes_its_time_is_no_fault_of_the_engine(stream: bool) -> None:
    order = an_order(stream=stream, deadline=time.time() + 0.1)
    running = generation(ScriptedEngine([5.0]), order)
    guard = Listening()
    running.services = replace(running.services, guard=guard)
    running.popped_at = time.time() - 100
    await Traces().run(running)
    assert guard.failure
    assert guard.failure.code == "deadline_exceeded"
    assert guard.failure.counts is stream


@pytest.mark.parametrize(
    ("attempt", "code"), [(2, "local_only"), (MAX_ATTEMPTS + 1, "worker_lost")]
)
async def test_a_hosted_engine_is_not_asked_to_count_what_must_stay_here(
    attempt: int, code: str
) -> None:
    """An earlier attempt gave something out, so the prompt has to be counted."""
    traces, engine = Traces(), ScriptedEngine(SPOKEN)
    engine.config = replace(engine.config, hosted=True)
    order = an_order(local_only=True)
    await traces.of(engine, order, attempt=attempt, before=[chunk("Hel")])
    assert traces.error["code"] == code
    assert traces.row["tokens_in"] == engine.estimate_prompt(order)
    assert (engine.asked, engine.counted) == ([], [])


async def cancelled_after(seconds: float, engine: ScriptedEngine, order: Order) -> Traces:
    traces, running = Traces(), generation(engine, order)
    run = asyncio.ensure_future(traces.run(running))
    await asyncio.sleep(seconds)
    began = time.monotonic()
    running.cancel()
    outcome = await run
    assert time.monotonic() - began < 0.5
    assert outcome
    assert outcome.state == "cancelled"
    assert engine.speaking == 0
    return traces


async def test_cancelled_in_mid_stream_it_settles_what_there_is() -> None:
    traces = await cancelled_after(0.1, ScriptedEngine([*SPOKEN, 30.0, *END]), an_order())
    row = traces.row
    assert (row["state"], row["status"], row["finish_reason"]) == ("cancelled", 499, "cancelled")
    assert (row["tokens_in"], row["tokens_out"], row["error_code"]) == (42, 2, "")
    assert traces.order[-2:] == ["settled", "error"]


async def test_cancelled_before_the_first_token_it_costs_nothing() -> None:
    for engine in (ScriptedEngine([30.0]), ScriptedEngine([EngineAway("loading")])):
        row = (await cancelled_after(0.05, engine, an_order())).row
        assert (row["tokens_in"], row["tokens_out"]) == (0, 0)


async def test_cancelled_while_a_whole_answer_is_made() -> None:
    traces = await cancelled_after(0.05, ScriptedEngine([30.0]), an_order(stream=False))
    assert traces.row["state"] == "cancelled"


@pytest.mark.parametrize("end", ["its client", "its deadline"])
async def test_a_whole_answer_that_is_cut_off_costs_its_prompt(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Else whoever leaves just before the end has the engine for nothing, beside every quota."""
    monkeypatch.setattr(module, "REFUSES_WITHIN_S", 0.05)
    traces, engine = Traces(), ScriptedEngine([30.0])
    if end == "its client":
        traces = await cancelled_after(0.2, engine, an_order(stream=False))
    else:
        await traces.of(engine, an_order(stream=False, deadline=time.time() + 0.2))
    row = traces.row
    assert row["state"] == ("cancelled" if end == "its client" else "failed")
    assert (row["tokens_in"], row["tokens_out"]) == (42, 0)


EMBEDS = b'{"model":"theirs","input":["a forebay"],"encoding_format":"base64"}'


@pytest.mark.parametrize("changes", [{}, {"task": "embed", "body": EMBEDS}])
async def test_an_engine_that_is_away_has_read_nothing(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(module, "REFUSES_WITHIN_S", 0.05)
    monkeypatch.setattr(module, "pause", lambda *_: 5.0)
    order, traces = an_order(stream=False, **changes), Traces()
    running = generation(ScriptedEngine([EngineAway("loading")]), order)
    running.handler = handler_of(order)(running)
    run = asyncio.ensure_future(traces.run(running))
    await asyncio.sleep(0.2)
    running.cancel()
    await run
    assert (traces.row["state"], traces.row["tokens_in"]) == ("cancelled", 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_whoever_reads_a_cancelled_answer_is_told_that_it_was(stream: bool) -> None:
    engine = ScriptedEngine([*SPOKEN, 30.0] if stream else [30.0])
    traces = await cancelled_after(0.05, engine, an_order(stream=stream))
    assert (traces.last.status, traces.error["code"]) == (499, "cancelled")


async def test_cancelled_before_it_began() -> None:
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, *END])
    running = generation(engine, an_order())
    running.cancel()
    outcome = await traces.run(running)
    assert outcome
    assert outcome.state == "cancelled"
    assert traces.row["tokens_out"] == 0


async def test_one_that_was_taken_away_leaves_no_trace() -> None:
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, 30.0])
    running = generation(engine, an_order())
    run = asyncio.ensure_future(traces.run(running))
    await asyncio.sleep(0.05)
    running.abandon()
    assert await run is None
    assert traces.rows == []
    assert not any(frame.final for frame in traces.frames)
    assert engine.speaking == 0


class Counting(ScriptedEngine):
    """Takes its time to count a prompt."""

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        counted = await super().count_prompt(session, order)
        await asyncio.sleep(0.3)
        return counted


async def test_one_that_is_taken_away_while_it_is_counted_leaves_no_trace_either() -> None:
    traces, engine = Traces(), Counting([*SPOKEN, AnswerBroken()])
    running = generation(engine, an_order())
    run = asyncio.ensure_future(traces.run(running))
    while not engine.counted:
        await asyncio.sleep(0.01)
    running.abandon()
    assert await run is None
    assert traces.rows == []
    assert not any(frame.final for frame in traces.frames)


async def test_an_answer_that_is_not_the_one_on_record_is_not_given_out() -> None:
    traces = Traces()
    traces.settled_before = timedelta(seconds=1)
    outcome = await traces.of(ScriptedEngine([*SPOKEN, *END]), an_order())
    assert outcome
    assert outcome.state == "done"
    assert not any(frame.final for frame in traces.frames)


async def test_an_answer_that_cannot_be_recorded_is_not_given_out_as_finished() -> None:
    traces = Traces()
    traces.refuse = StoreUnavailable("away")
    await traces.of(ScriptedEngine([*SPOKEN, *END]), an_order())
    assert (traces.last.status, traces.error["code"]) == (503, "not_recorded")
    assert no_finish_was_told(traces)


# Attempts ---------------------------------------------------------------------------------------
BEFORE = [chunk(role="assistant"), chunk("Hel")]


async def test_a_second_attempt_starts_anew_when_nothing_was_given_out() -> None:
    traces = Traces()
    outcome = await traces.of(ScriptedEngine([*SPOKEN, *END]), an_order(), attempt=2)
    assert outcome
    assert (outcome.state, outcome.attempts) == ("done", 2)
    assert {frame.attempt for frame in traces.frames} == {2}


async def test_what_was_given_out_cannot_be_said_twice() -> None:
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, *END])
    outcome = await traces.of(engine, an_order(), attempt=2, before=BEFORE)
    assert outcome
    assert engine.asked == []
    assert (traces.last.status, traces.error["code"]) == (502, "worker_lost")
    assert traces.last.last == 3  # numbered after what the reader has
    assert (traces.row["tokens_in"], traces.row["tokens_out"]) == (42, 1)
    assert (traces.row["state"], traces.row["finish_reason"]) == ("failed", "error")


async def test_after_three_attempts_it_is_given_up() -> None:
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, *END])
    await traces.of(engine, an_order(), attempt=MAX_ATTEMPTS)
    assert traces.row["state"] == "done"
    traces, engine = Traces(), ScriptedEngine([*SPOKEN, *END])
    await traces.of(engine, an_order(), attempt=MAX_ATTEMPTS + 1)
    assert engine.asked == []
    assert (traces.last.status, traces.error["code"]) == (500, "worker_lost")
    assert (traces.row["tokens_in"], traces.row["tokens_out"]) == (0, 0)


class Continuing(ScriptedEngine):
    """One that can go on from the text so far."""

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        return f"{text}|{tokens}".encode()


async def test_an_engine_that_can_goes_on_where_it_broke_off() -> None:
    engine = Continuing(
        [[chunk(role="assistant"), chunk("lo")], [chunk(finish="stop"), usage(6, 1)]]
    )
    traces, order = Traces(), an_order(keeps_text=True)
    outcome = await traces.of(engine, order, attempt=2, before=BEFORE)
    assert outcome
    assert engine.asked[0].body == b"Hel|1"
    assert [sse.text_in(found) for found in traces.events] == ["lo", "", ""]
    assert [frame.last for frame in traces.frames] == [3, 5]
    assert (outcome.text, outcome.state) == ("Hello", "done")
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (5, 2)


async def test_what_went_along_as_prompt_is_not_paid_as_cached() -> None:
    tail = usage(6, 1, prompt_tokens_details={"cached_tokens": 6})
    engine = Continuing([[chunk("lo"), chunk(finish="stop"), tail]], private_cache=True)
    outcome = await Traces().of(engine, an_order(), attempt=2, before=BEFORE)
    assert outcome
    assert (outcome.prompt_tokens, outcome.cached_tokens) == (5, 5)


async def test_one_that_goes_on_and_breaks_off_again_counts_everything() -> None:
    traces = Traces()
    outcome = await traces.of(Continuing([chunk("lo")]), an_order(), attempt=2, before=BEFORE)
    assert outcome
    assert (outcome.text, outcome.completion_tokens) == ("Hello", 2)
    assert traces.last.kind == Kind.ERROR


async def test_reasoning_counts_when_it_is_cut_off() -> None:
    said: list[Step] = [chunk(reasoning_content="Hm"), chunk(reasoning_content=" so"), 30.0]
    traces = await cancelled_after(0.1, ScriptedEngine(said), an_order())
    assert traces.row["tokens_out"] == 2


@pytest.mark.parametrize(
    "piece",
    [
        {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{"}}]},
        {"refusal": "I cannot"},
        {"content": [{"type": "text", "text": "Hel"}]},
    ],
)
async def test_what_is_no_plain_text_counts_when_it_is_cut_off(piece: dict[str, Any]) -> None:
    """Else a client that leaves just before the end of a call has it for nothing."""
    pieces: list[Step] = [chunk(role="assistant"), chunk(**piece), chunk(**piece), 30.0]
    traces = await cancelled_after(0.1, ScriptedEngine(pieces), an_order())
    assert (traces.row["tokens_in"], traces.row["tokens_out"]) == (42, 2)


async def test_an_answer_that_broke_off_in_its_reasoning_is_not_gone_on_with() -> None:
    before = [chunk(role="assistant"), chunk(reasoning_content="Hm")]
    engine, traces = Continuing([chunk("lo")]), Traces()
    await traces.of(engine, an_order(), attempt=2, before=before)
    assert engine.asked == []
    assert traces.error["code"] == "worker_lost"
