"""The kind `vllm` against the real server: `make test-vllm`."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import orjson
import pytest

from inference.engines.base import AdapterMissing, EngineConfig, EngineFailed
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.load import Load
from inference.engines.transport.session import EngineSession
from inference.order import Order, OrderAdapter
from inference.record.parked import MOST_TIMES
from inference.stream.frames import Kind
from inference.worker.handlers.choices import Choices
from inference.worker.run.run import Run
from tests.inference.orders import an_order
from tests.inference.running import until
from tests.inference.scripted import Traces, generation

pytestmark = [pytest.mark.unit, pytest.mark.timeout(900)]
QUESTION = {"role": "user", "content": "Explain why the sky is blue."}
GREEDY = {"temperature": 0, "max_tokens": 40}
PATIENCE_S = 600  # of a CPU that others use too
LONG = " ".join(["The river runs to the sea, and the sea is never full."] * 12)


def asked(engine: VllmEngine, *, chat: bool = True, **body: Any) -> Order:
    """As intake prepares it."""
    plain = {"messages": [QUESTION]} if chat else {"prompt": "The sky is blue because"}
    prepared = engine.prepare({"model": "smol", **plain, **GREEDY, **body}, chat=chat)
    return an_order(
        body=orjson.dumps(prepared),
        chat=chat,
        stream=bool(body.get("stream")),
        deadline=time.time() + PATIENCE_S,
    )


async def answer(engine: VllmEngine, session: EngineSession, order: Order) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(await engine.answer(session, order))
    return found


def text_of(found: dict[str, Any]) -> str:
    choice = found["choices"][0]
    text: str = choice["message"]["content"] if "message" in choice else choice["text"]
    return text


async def run(engine: VllmEngine, session: EngineSession, work: Run) -> tuple[Any, Traces]:
    """By way of the worker."""
    traces = Traces()
    outcome = await work.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
    assert traces.last.kind != Kind.ERROR, traces.last.body
    return outcome, traces


# Answers ----------------------------------------------------------------------------------------
async def test_a_stream_says_what_a_whole_answer_says(
    engine: VllmEngine, session: EngineSession
) -> None:
    whole = await answer(engine, session, asked(engine))
    outcome, traces = await run(engine, session, generation(engine, asked(engine, stream=True)))
    assert outcome.text == text_of(whole)
    assert outcome.prompt_tokens == whole["usage"]["prompt_tokens"] > 0
    assert outcome.completion_tokens == whole["usage"]["completion_tokens"]
    assert traces.events[-1] == b"data: [DONE]"


@pytest.mark.parametrize("stream", [True, False])
async def test_several_answers_read_the_prompt_once(
    engine: VllmEngine, session: EngineSession, stream: bool
) -> None:
    alone = await answer(engine, session, asked(engine, max_tokens=8))
    outcome, choices = await several(engine, session, stream=stream, temperature=0.7)
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert outcome.prompt_tokens == alone["usage"]["prompt_tokens"]
    assert 3 <= outcome.completion_tokens <= 3 * 8


@pytest.mark.parametrize("stream", [True, False])
async def test_several_answers_without_chance_are_asked_for_apart(
    engine: VllmEngine, session: EngineSession, stream: bool
) -> None:
    """It refuses `n` at temperature 0."""
    alone = await answer(engine, session, asked(engine, max_tokens=8))
    outcome, choices = await several(engine, session, stream=stream)
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in choices} == {text_of(alone)}
    assert outcome.prompt_tokens == 3 * alone["usage"]["prompt_tokens"]
    assert outcome.completion_tokens == 3 * 8


async def several(
    engine: VllmEngine, session: EngineSession, *, stream: bool, **body: Any
) -> tuple[Any, list[dict[str, Any]]]:
    """Ask for three answers. Returns the outcome and the choices on record."""
    body = {"n": 3, "max_tokens": 8, "stream": stream, **body}
    order = msgspec.structs.replace(asked(engine, **body), choices=3)
    work = Run(order, order.item, engine)
    work.handler = Choices(work)
    outcome, _ = await run(engine, session, work)
    return outcome, orjson.loads(outcome.response)["choices"]


async def test_the_tokens_of_a_prompt_and_back(engine: VllmEngine, session: EngineSession) -> None:
    body = {"prompt": "The sky is blue because"}
    tokens = await engine.tokens_of(session, body, chat=False, special=False)
    assert await engine.text_of(session, tokens) == body["prompt"]
    chat = await engine.tokens_of(session, {"messages": [QUESTION]}, chat=True, special=False)
    assert len(chat) == await engine.count_chat(session, {"messages": [QUESTION]})


@pytest.mark.parametrize(
    "form",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "colour",
                    "schema": {
                        "type": "object",
                        "properties": {"colour": {"enum": ["red", "blue"]}},
                        "required": ["colour"],
                        "additionalProperties": False,
                    },
                },
            }
        },
        {"structured_outputs": {"choice": ['{"colour": "blue"}']}},
    ],
)
async def test_json_by_a_schema(
    engine: VllmEngine, session: EngineSession, form: dict[str, Any]
) -> None:
    found = await answer(engine, session, asked(engine, **form, max_tokens=60))
    assert orjson.loads(text_of(found))["colour"] in ("red", "blue")


async def test_its_own_fields(engine: VllmEngine, session: EngineSession) -> None:
    plain = text_of(await answer(engine, session, asked(engine)))
    word = plain.split()[0]
    other = text_of(await answer(engine, session, asked(engine, bad_words=[word])))
    assert other.split()[0] != word
    least = asked(
        engine, min_tokens=30, max_tokens=30, messages=[{"role": "user", "content": "Hi"}]
    )
    assert (await answer(engine, session, least))["usage"]["completion_tokens"] == 30


async def test_a_clients_mistake_is_a_400(engine: VllmEngine, session: EngineSession) -> None:
    with pytest.raises(EngineFailed) as refused:
        await answer(engine, session, asked(engine, messages=[{**QUESTION, "content": LONG * 20}]))
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")


# Tenants and classes ----------------------------------------------------------------------------
async def test_a_prompt_cache_is_a_tenants_own(engine: VllmEngine, session: EngineSession) -> None:
    """Full blocks are found again by the tenant that left them, and by no other."""
    mine = asked(engine, messages=[{"role": "user", "content": LONG}], max_tokens=1)

    async def cached(order: Order) -> int:
        usage = (await answer(engine, session, order))["usage"]
        return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)

    assert await cached(mine) == 0
    assert await cached(mine) > 0
    theirs = asked(engine, messages=[{"role": "user", "content": LONG}], max_tokens=1)
    assert await cached(theirs) == 0


@pytest.mark.parametrize("klass", ["realtime", "batch", "finetune", "preprocess"])
async def test_each_class_has_a_priority_that_it_takes(
    engine: VllmEngine, session: EngineSession, klass: str
) -> None:
    order = asked(engine, max_tokens=2)
    order = an_order(body=order.body, klass=klass, stream=False)
    assert (b'"priority":' in engine.outgoing(order)) == (klass != "realtime")
    assert text_of(await answer(engine, session, order))


async def test_who_came_later_with_a_higher_class_is_served_first(
    engine: VllmEngine, session: EngineSession
) -> None:
    """All eight places are taken, and come free one after another."""
    served: list[str] = []

    async def ask(klass: str, length: int) -> None:
        body = asked(engine, max_tokens=length, ignore_eos=True).body
        patience = time.time() + PATIENCE_S
        order = an_order(body=body, klass=klass, stream=False, deadline=patience)
        await engine.answer(session, order)
        served.append(klass)

    places = [asyncio.create_task(ask("realtime", 50 + 25 * n)) for n in range(8)]
    await _some_load(engine, session, running=8)
    waits = [asyncio.create_task(ask("preprocess", 1))]
    await _some_load(engine, session, waiting=1)
    waits.append(asyncio.create_task(ask("batch", 1)))
    await _some_load(engine, session, waiting=2)
    await asyncio.gather(*places, *waits)
    assert served.index("batch") < served.index("preprocess")


# Taking up --------------------------------------------------------------------------------------
@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("after", [1, 7, 20])
async def test_a_broken_stream_goes_on_where_it_stopped(
    engine: VllmEngine, session: EngineSession, chat: bool, after: int
) -> None:
    """Greedy, so that what the reader has in the end is what nobody had disturbed."""
    order = asked(engine, chat=chat, stream=True)
    whole, undisturbed = await run(engine, session, generation(engine, order))
    before = undisturbed.events[:after]
    again, traces = await run(engine, session, generation(engine, order, 2, before))
    assert again.text == whole.text
    assert again.completion_tokens == whole.completion_tokens
    assert again.prompt_tokens == whole.prompt_tokens
    assert again.finish_reason == whole.finish_reason
    assert traces.events[-1] == b"data: [DONE]"


async def _has_said(work: Run, events: int) -> bool:
    return len(work.output.events) >= events


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_was_parked_is_the_undisturbed_one(
    engine: VllmEngine, session: EngineSession, stream: bool
) -> None:
    """Three times in its middle; a whole answer is asked for in pieces."""
    order = asked(engine, **({"stream": True} if stream else {}))
    whole, _ = await run(engine, session, generation(engine, order))
    assert whole.completion_tokens == GREEDY["max_tokens"]
    work, cuts = generation(engine, order), 0
    while True:
        assert work.handler.may_be_parked() is (cuts < MOST_TIMES)
        traces, before = Traces(), len(work.output.events)
        task = asyncio.create_task(
            work.work_and_settle(session, traces.writer, traces.ledger, traces.cipher)
        )
        if cuts < MOST_TIMES:
            await until(partial(_has_said, work, before + 8), PATIENCE_S)
            assert work.park()
        outcome = await task
        if outcome:
            break
        assert work.parked
        cuts += 1
        kept, parked = work.output.events, work.parked
        work = generation(engine, order, 1, kept)
        work.earlier.parked = parked
    assert (cuts, outcome.preemptions) == (MOST_TIMES, MOST_TIMES)
    assert outcome.text == whole.text
    assert outcome.completion_tokens == whole.completion_tokens
    assert outcome.prompt_tokens == whole.prompt_tokens
    assert outcome.finish_reason == whole.finish_reason


async def test_the_clients_own_beginning_is_gone_on_with(
    engine: VllmEngine, session: EngineSession
) -> None:
    whole = text_of(await answer(engine, session, asked(engine)))
    sentence = whole[: whole.index(".") + 1]
    begun = {"role": "assistant", "content": sentence, "prefix": True}
    rest = text_of(await answer(engine, session, asked(engine, messages=[QUESTION, begun])))
    assert (sentence + rest).startswith(whole)


# What it says of itself -------------------------------------------------------------------------
async def test_it_says_its_context_and_counts_its_template(
    engine: VllmEngine, adapter: VllmEngine, session: EngineSession
) -> None:
    for each in (engine, adapter):
        guess = each.template
        assert await each.probe(session)
        assert each.context_length == 1024
        assert each.template != guess
    order = asked(engine)
    counted = await engine.count_prompt(session, order)
    assert counted == (await answer(engine, session, order))["usage"]["prompt_tokens"]
    assert counted <= engine.prompt_bound(order.body, chat=True)
    text = asked(engine, chat=False)
    counted = await engine.count_prompt(session, text)
    assert counted == (await answer(engine, session, text))["usage"]["prompt_tokens"]


async def test_it_is_healthy_and_says_how_busy_it_is(
    engine: VllmEngine, session: EngineSession
) -> None:
    assert await engine.answers(session)
    idle = await engine.load(session)
    assert idle
    assert idle == Load(0, 0, 0.0, 0.0, idle.gpu_memory)
    assert idle.gpu_memory
    order = asked(engine, stream=True, max_tokens=400, ignore_eos=True)
    running = [asyncio.create_task(_read(engine, session, order)) for _ in range(3)]
    busy = await _some_load(engine, session, running=3)
    for task in running:
        task.cancel()  # which closes the connection: vLLM lets go of the request
    await asyncio.gather(*running, return_exceptions=True)
    assert busy.kv_cache
    assert busy.kv_cache > 0
    assert busy.fragmentation
    assert 0 < busy.fragmentation < 1
    await _some_load(engine, session, running=0)


async def _read(engine: VllmEngine, session: EngineSession, order: Order) -> None:
    async for _ in engine.events(session, order):
        pass


async def _some_load(
    engine: VllmEngine, session: EngineSession, *, running: int | None = None, waiting: int = 0
) -> Load:
    while True:
        found = await engine.load(session)
        if found and found.waiting == waiting and running in (None, found.running):
            return found
        await asyncio.sleep(0.2)


# LoRA -------------------------------------------------------------------------------------------
async def test_an_adapter_is_a_model_of_its_own(
    engine: VllmEngine, adapter: VllmEngine, session: EngineSession
) -> None:
    base = text_of(await answer(engine, session, asked(engine)))
    first = await answer(adapter, session, asked(adapter))
    assert first["model"] == "adapter"
    assert text_of(first) != base
    assert text_of(await answer(adapter, session, asked(adapter))) == text_of(first)


async def test_an_adapter_is_loaded_for_its_requests_and_forgotten(
    url: str, models: Path, tmp_path: Path, session: EngineSession
) -> None:
    version = uuid4()
    (tmp_path / str(version)).symlink_to(models / "adapter")
    config = EngineConfig(
        "smol", "vllm", url, "smol", loads_adapters=True, adapters_folder=str(tmp_path)
    )
    engine = VllmEngine(config)
    base = asked(engine)
    adapted = msgspec.structs.replace(
        base, adapter=OrderAdapter("support", version, "support@1", "peft")
    )
    said = text_of(await answer(engine, session, adapted))
    assert said != text_of(await answer(engine, session, base))
    await engine.unload_adapter(session, version)
    assert text_of(await answer(engine, session, adapted)) == said  # it is loaded again
    unknown = OrderAdapter("support", uuid4(), "support@2", "peft")
    with pytest.raises(AdapterMissing):
        await engine.answer(session, msgspec.structs.replace(base, adapter=unknown))
