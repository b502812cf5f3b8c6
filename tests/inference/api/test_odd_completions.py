"""A completion without all that OpenAI's have is paid for, and reaches its client."""

from typing import Any

import httpx
import pytest

from inference.models import Usage
from tests.inference.api.kept_answers import in_database
from tests.inference.engine_server import EngineServer

USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"text": "Hi"}, ("Hi", "stop")),
        ({"text": "Hi", "finish_reason": None}, ("Hi", "stop")),
        ({"finish_reason": "length"}, ("", "length")),
        ({"text": None, "finish_reason": "stop"}, ("", "stop")),
    ],
)
async def test_the_plain_call_tells_what_there_is(
    client: httpx.AsyncClient,
    engine: EngineServer,
    choice: dict[str, Any],
    told: tuple[str, str],
) -> None:
    engine.beside = lambda body: {"choices": [choice], "usage": USAGE}
    answer = await client.post("/v1/inference", json={"model": "small", "prompt": "Say hi."})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["text"], answer.json()["finish_reason"]) == told
    usage = await in_database(Usage.objects.get)()
    assert (usage.completion_tokens, usage.finish_reason) == (3, told[1])
