"""Who runs in a lower class gives its slot to a higher one, and goes on from its text."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from inference.codec import events as sse
from inference.engines.base import Turn, at_once
from inference.engines.session import EngineSession
from inference.engines.taking_up import rest_of, said_last
from inference.models import Usage
from inference.order import Order
from tests.inference.orders import CHAT, chunk, usage
from tests.inference.running import Bench, in_database, until
from tests.inference.scripted import ScriptedEngine

WORDS = [f" w{n}" for n in range(40)]
WHOLE = "".join(WORDS)
PROMPT = 7  # tokens
BATCH = {"klass": "batch", "stream": False, "reply_to": "web-1", "body": CHAT}


class GoesOn(ScriptedEngine):
    """Says WORDS, one by one, from where a text that it is given ends."""

    def __init__(self, slots: int = 1, pause_s: float = 0.01) -> None:
        super().__init__([], slots=slots)
        self.pause_s = pause_s
        self.begun: list[str] = []  # classes, in the order in which they were asked
        self.most = 0  # at once

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        body = rest_of(order, tokens)
        if body is None:
            return None
        if text:
            said_last(body["messages"], text, open_ended=False)
        return orjson.dumps(body)

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        return PROMPT + _said(order).count(" w")

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = at_once
    ) -> AsyncGenerator[list[bytes]]:
        self.asked.append(order)
        self.begun.append(order.klass)
        self.speaking += 1
        self.most = max(self.most, self.speaking)
        said, limit = _said(order).count(" w"), orjson.loads(order.body).get("max_tokens") or 99
        rest = WORDS[said : said + limit]
        try:
            yield [chunk(role="assistant", content="")]
            for word in rest:
                await asyncio.sleep(self.pause_s)
                yield [chunk(word)]
            finish = "length" if said + len(rest) < len(WORDS) else "stop"
            yield [chunk(finish=finish), usage(PROMPT + said, len(rest)), sse.DONE]
        finally:
            self.speaking -= 1

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        raise AssertionError("asked for a whole answer")


def _said(order: Order) -> str:
    last = orjson.loads(order.body)["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""


async def wholes(bench: Bench, order: Order) -> list[dict[str, Any]]:
    """Answers in one piece."""
    found = await bench.returned(order.reply_to)
    return [orjson.loads(f.body) for f in found if f.id == order.id.bytes and f.kind == 2]


async def read(bench: Bench, order: Order) -> str:
    """What a stream's reader has got."""
    found = [f for f in await bench.returned(order.reply_to) if f.id == order.id.bytes]
    return "".join(sse.text_in(e) for f in found for e in sse.split(f.body))


async def usage_of(order: Order) -> Usage:
    return await in_database(Usage.objects.get)(pk=order.id)


async def said_some(engine: GoesOn, bench: Bench, n: int = 1) -> None:
    """`n` requests are in their middle."""

    async def some() -> bool:
        running = list(bench.runners[0].running.values())
        return len([h for h in running if len(h.sent_events) > 3]) >= n

    await until(some)


async def test_a_whole_answer_waits_for_a_higher_class_and_is_whole(bench: Bench) -> None:
    (batch,) = await bench.submit(1, **BATCH)
    engine = GoesOn()
    bench.start(engine)
    await said_some(engine, bench)
    (now,) = await bench.submit(1)
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
    assert await read(bench, now) == WHOLE
