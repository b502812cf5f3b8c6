"""Log probabilities of llama.cpp, as OpenAI's API has them."""

from typing import Any

import orjson
import pytest

from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport.session import EngineSession
from inference.order import Order
from tests.inference.engines.served import Served, an_engine, heard
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit
OTHERS = [{"token": "Hi", "logprob": -0.1}, {"token": "Ho", "logprob": -3.0}]


def choice(told: int) -> dict[str, Any]:
    content = [{"token": "Hi", "logprob": -0.1, "top_logprobs": OTHERS[:told]}]
    return {"index": 0, "logprobs": {"content": content}}


def order(*, chat: bool, stream: bool = False, **asked: Any) -> Order:
    return an_order(chat=chat, body=orjson.dumps({"stream": stream, **asked}))


async def answered(
    served: Served, session: EngineSession, asked: Order
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body that the engine got, with a number's last value; and the choice of the answer."""
    engine = an_engine(served.url, LlamaCppEngine)
    said = {"total_slots": 1, "choices": [choice(1 if b":1" in asked.body else 2)]}
    served.says(orjson.dumps(said))
    answer = orjson.loads(await engine.answer(session, asked))
    return orjson.loads(served.asked[-1][1]), answer["choices"][0]["logprobs"]


@pytest.mark.parametrize("fields", [{}, {"top_logprobs": 0}])
async def test_a_chat_that_names_no_number_is_told_no_other_tokens(
    served: Served, session: EngineSession, fields: dict[str, Any]
) -> None:
    """llama.cpp would tell 20 of them, or no log probability at all."""
    body, told = await answered(served, session, order(chat=True, logprobs=True, **fields))
    assert (body["logprobs"], body["top_logprobs"]) == (True, 1)
    assert told["content"] == [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]


async def test_a_chat_is_told_as_many_as_it_asks_for(
    served: Served, session: EngineSession
) -> None:
    asked = order(chat=True, logprobs=True, top_logprobs=2)
    body, told = await answered(served, session, asked)
    assert (body["top_logprobs"], told["content"][0]["top_logprobs"]) == (2, OTHERS)


async def test_a_text_with_none_is_told_of_its_own_tokens_alone(
    served: Served, session: EngineSession
) -> None:
    body, told = await answered(served, session, order(chat=False, logprobs=0))
    assert body["logprobs"] == 1
    assert told == {
        "tokens": ["Hi"],
        "token_logprobs": [-0.1],
        "top_logprobs": None,
        "text_offset": [0],
    }
    _, told = await answered(served, session, order(chat=False, logprobs=2))
    assert told["top_logprobs"] == [{"Hi": -0.1, "Ho": -3.0}]


async def test_a_streams_chunks_are_shaped_as_the_whole_answer(
    served: Served, session: EngineSession
) -> None:
    engine = an_engine(served.url, LlamaCppEngine)
    served.says(b'{"total_slots":1}')
    await engine.answer(session, order(chat=True))
    served.streams(b"data: " + orjson.dumps({"choices": [choice(1)]}) + b"\n\n")
    (event,) = await heard(engine, session, order(chat=True, stream=True, logprobs=True))
    (told,) = orjson.loads(event.removeprefix(b"data: "))["choices"]
    assert told["logprobs"]["content"][0]["top_logprobs"] == []
