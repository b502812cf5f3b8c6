"""An engine that goes on with a text that was cut short, as llama.cpp and vLLM do."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import orjson

from inference.codec import events as sse
from inference.engines.base import Turn, read_on
from inference.engines.continuation import append_to_answer, rest_of
from inference.engines.transport.session import EngineSession
from inference.order import Order
from tests.inference.orders import chunk, usage
from tests.inference.scripted import ScriptedEngine

WORDS = [f" w{n}" for n in range(40)]
WHOLE = "".join(WORDS)
PROMPT = 7  # tokens


class GoesOn(ScriptedEngine):
    """Says WORDS, one by one, from where a text that it is given ends."""

    def __init__(self, slots: int = 1, version: str = "") -> None:
        super().__init__([], slots=slots)
        self.config = replace(self.config, version=version)
        self.going = asyncio.Event()
        self.going.set()
        self.begun: list[str] = []  # classes, in the order in which they were asked
        self.most = 0  # at once

    def continued(self, order: Order, text: str, tokens: int) -> bytes | None:
        body = rest_of(order, tokens)
        if body is None:
            return None
        if text:
            append_to_answer(body["messages"], text, open_ended=False)
        return orjson.dumps(body)

    async def count_prompt(self, session: EngineSession, order: Order) -> int:
        return PROMPT + answer_so_far(order).count(" w")

    async def events(
        self, session: EngineSession, order: Order, turn: Turn = read_on
    ) -> AsyncGenerator[list[bytes]]:
        self.asked.append(order)
        self.begun.append(order.klass)
        self.speaking += 1
        self.most = max(self.most, self.speaking)
        said = answer_so_far(order).count(" w")
        limit = orjson.loads(order.body).get("max_tokens") or 99
        rest = WORDS[said : said + limit]
        try:
            yield [chunk(role="assistant", content="")]
            for word in rest:
                await asyncio.sleep(0.01)
                await self.going.wait()
                yield [chunk(word)]
            finish = "length" if said + len(rest) < len(WORDS) else "stop"
            yield [chunk(finish=finish), usage(PROMPT + said, len(rest)), sse.DONE]
        finally:
            self.speaking -= 1

    async def answer(self, session: EngineSession, order: Order) -> bytes:
        self.begun.append(f"{order.klass}, whole")
        await asyncio.sleep(0.2)
        said = {"message": {"role": "assistant", "content": WHOLE}, "finish_reason": "stop"}
        return orjson.dumps({"choices": [said], "usage": {}})


def answer_so_far(order: Order) -> str:
    """Returns the unfinished answer that the engine is to go on with."""
    last = orjson.loads(order.body)["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""
