"""Likelihoods of given texts: what vLLM and llama.cpp are asked, and what is made of it."""

from math import exp, log
from typing import Any
from uuid import UUID

import orjson
import pytest
from aiohttp import web

from inference.engines.base import EngineConfig, NotOffered
from inference.engines.kinds.llama_cpp_scoring import LlamaCppScoring
from inference.engines.kinds.open_ended import salt
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.kinds.prompt_slots import Lease
from inference.engines.kinds.vllm import VllmEngine
from inference.engines.transport.session import EngineSession
from tests.inference.engines.served import Served
from tests.inference.orders import an_order

TENANT = UUID(int=7)


def place(token: int, logprob: float, top: int = 0) -> dict[str, Any]:
    """As vLLM lists a token of the prompt, and the likeliest one where that is another."""
    own = {str(token): {"logprob": logprob, "rank": 1 if not top else 5, "decoded_token": "x"}}
    likeliest = {str(top): {"logprob": -0.1, "rank": 1, "decoded_token": "y"}}
    return {**own, **likeliest} if top else own


async def test_vllm_scores_a_text_with_one_question(served: Served) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/tokenize":
            return web.json_response({"count": 3, "tokens": [5, 6, 7]})
        logprobs = [None, place(6, -1.0), place(7, -2.0, top=9)]
        return web.json_response({"choices": [{"text": "", "prompt_logprobs": logprobs}]})

    served.handler = handler
    engine = VllmEngine(EngineConfig("smol", "vllm", f"{served.url}/v1", "theirs"))
    order = an_order(tenant_id=TENANT)
    async with EngineSession() as session, engine.scoring(session, order) as scoring:
        tokens = await scoring.tokens("three words here", begins=True)
        scores = await scoring.score(tokens[:1], tokens[1:])
    assert [(each.loss, each.top, each.outside) for each in scores.tokens] == [
        (1.0, 6, False),
        (2.0, 9, False),
    ]
    assert scores.questions == 1
    bodies = [orjson.loads(body) for _path, body, _key in served.asked]
    assert bodies[0]["add_special_tokens"] is True
    assert bodies[1]["prompt"] == [5, 6, 7]
    assert bodies[1]["prompt_logprobs"] == 1
    assert bodies[1]["cache_salt"] == salt(TENANT)


class Grown:
    """A llama.cpp server that lists two next tokens, and what it was asked.

    The likelier one is half a character: llama.cpp lists nothing when it is made.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, path: str, body: dict[str, Any]) -> Any:
        if path == "/tokenize":
            return {"tokens": [ord(letter) for letter in body["content"]]}
        self.asked.append({"path": path, **body})
        if not body.get("logit_bias"):
            return {"content": ""}
        listed = [{"id": 1, "logprob": log(0.6)}, {"id": 2, "logprob": log(0.3)}]
        return {"completion_probabilities": [{"top_logprobs": listed}]}


async def test_llama_cpps_prompt_grows_by_a_token_each() -> None:
    server, lease = Grown(), Lease(3, own_cache=False)
    scoring = LlamaCppScoring(server, lease, lambda: ("mark", 0), vocabulary=12)
    scores = await scoring.score([7], [1, 2, 5])
    assert [body["prompt"] for body in server.asked] == [[7], [7, 1], [7, 1, 2]]
    assert {body["id_slot"] for body in server.asked} == {3}
    assert [each.outside for each in scores.tokens] == [False, False, True]
    likelihoods = [exp(-each.loss) for each in scores.tokens]
    assert likelihoods == pytest.approx([0.6, 0.3, 0.1 / 10])
    assert scores.questions == 3


async def test_a_place_is_asked_once() -> None:
    server = Grown()
    scoring = LlamaCppScoring(server, Lease(0, own_cache=True), lambda: ("mark", 0), vocabulary=12)
    await scoring.score([7], [1, 2])
    again = await scoring.score([7], [1, 5])
    assert again.questions == 0
    assert len(server.asked) == 2


async def test_the_cache_of_a_slot_is_used_while_it_is_surely_the_tenants_own() -> None:
    """The first question not after another tenant, none after another runner came."""
    server, marks = Grown(), [("mark", 0)] * 2 + [("other", 0)] * 9
    lease = Lease(0, own_cache=False)
    scoring = LlamaCppScoring(server, lease, lambda: marks.pop(0), vocabulary=12)
    await scoring.score([7], [1, 2, 1])
    assert [body["cache_prompt"] for body in server.asked] == [False, True, False]
    assert lease.served


async def test_other_kinds_say_that_they_cannot() -> None:
    engine = OpenAIEngine(EngineConfig("smol", "openai", "http://127.0.0.1:9/v1", "theirs"))
    assert not engine.scores_texts
    async with EngineSession() as session:
        with pytest.raises(NotOffered):
            engine.scoring(session, an_order())
