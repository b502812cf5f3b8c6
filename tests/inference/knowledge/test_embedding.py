"""Texts embedded for a caller: requests like any other."""

import math
from functools import partial
from typing import Any

import pytest
from channels.db import database_sync_to_async

from inference.errors import BadRequest
from inference.intake.access.allowed import NoSuchModel
from inference.intake.errors import NotAdmitted
from inference.knowledge import embedding
from inference.knowledge.embedding import EmbeddingFailed, embed
from inference.models import Completion
from tenants.models import ApiKey, Quota
from tests.inference.vectors.conftest import House, vector_of
from tests.inference.vectors.conftest import embedded as answer_to
from tests.inference.web import current

pytestmark = [pytest.mark.django_db(transaction=True)]
in_database = database_sync_to_async


async def embedded(house: House, texts: list[str], model: str = "vectors") -> list[list[float]]:
    key, _ = await in_database(ApiKey.issue)(house.tenant, "ci", by="test")
    caller = await current().authenticator.by_digest(bytes(key.digest))
    return await embed(current(), caller, model, texts)


def unit(text: str) -> Any:
    vector = vector_of(text)
    return pytest.approx([number / math.hypot(*vector) for number in vector], abs=1e-6)


async def test_each_text_has_a_vector_of_length_one(house: House) -> None:
    texts = [f"text {'x' * n}" for n in range(70)]
    assert await embedded(house, texts) == [unit(text) for text in texts]
    assert await embedded(house, []) == []


async def test_they_are_billed_and_recorded_by_batches(house: House) -> None:
    await embedded(house, ["four"] * (embedding.BATCH + 1))
    usages = await house.usages()
    assert [usage.prompt_tokens for usage in usages] == [4 * embedding.BATCH, 4]
    assert {usage.model for usage in usages} == {"vectors"}
    states = await in_database(lambda: list(Completion.objects.values_list("state", flat=True)))()
    assert states == ["done", "done"]


async def test_texts_are_cut_to_what_the_model_takes(house: House) -> None:
    await embedded(house, ["short", "words and words " * 1_000])
    ((_, body),) = house.engine.asked
    assert body["input"][0] == "short"
    assert 400 < len(body["input"][1].split()) <= 508


async def test_an_engine_that_finds_them_too_long_gets_shorter_ones(house: House) -> None:
    house.engine.answer = partial(refuse_over, house, 200)
    await embedded(house, ["word " * 1_000])
    lengths = [len(body["input"][0].split()) for _, body in house.engine.asked]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 500 > 200 >= lengths[-1]


def refuse_over(house: House, most: int, body: dict[str, Any]) -> dict[str, Any]:
    fits = len(body["input"][0].split()) <= most
    house.engine.status = 200 if fits else 400
    return answer_to(body) if fits else {"error": {"message": "maximum context length is 200"}}


async def test_refusals_are_those_of_every_request(house: House) -> None:
    with pytest.raises(NoSuchModel):
        await embedded(house, ["Hi"], "missing")
    with pytest.raises(BadRequest, match="makes no embeddings"):
        await embedded(house, ["Hi"], "chats")
    house.engine.status, house.engine.answer = 500, lambda _body: b"down"
    with pytest.raises(EmbeddingFailed) as failed:
        await embedded(house, ["Hi"])
    assert failed.value.status >= 500


async def test_a_used_up_quota_refuses_them(house: House) -> None:
    await in_database(Quota.set)(house.tenant, by="test", unit="tokens", window="day", limit=60)
    await embedded(house, ["hello"])
    with pytest.raises(NotAdmitted):
        await embedded(house, ["hello " * 40])
