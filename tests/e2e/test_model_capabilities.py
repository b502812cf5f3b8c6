"""What the bundled model cannot take is a 400 before it is on record; what it can take works."""

import json
from typing import Any

import orjson
import pytest

from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.engines.transport.session import EngineSession
from tests.e2e.ask import Record, client
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e
MODEL = "smollm2-135m"
HI: Any = [{"role": "user", "content": "Hello"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


def ask(real: Platform, path: str = "/v1/chat/completions", **fields: Any) -> Any:
    body = {"model": MODEL, "max_tokens": 3, "temperature": 0, **fields}
    with client(real) as asking:
        return asking.post(path, json=body)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": HI, "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [SOUND]}]}, "messages[0].content[0]"),
    ],
)
def test_what_the_model_cannot_take(real: Platform, fields: dict[str, Any], param: str) -> None:
    for stream in (False, True):
        answer = ask(real, stream=stream, **fields)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (
            400,
            "unsupported_value",
            param,
        )
        assert (
            "x-request-id" not in answer.headers
            or not Record(real, answer.headers["x-request-id"]).usage()
        )


def test_the_list_of_models_says_so(real: Platform) -> None:
    with client(real) as asking:
        (model,) = [m for m in asking.get("/v1/models").json()["data"] if m["id"] == MODEL]
        assert asking.get(f"/v1/models/{MODEL}").json() == model
    none = ("images", "audio", "video", "files", "embeddings", "rerank", "dimensions")
    known = dict.fromkeys(none, False)
    assert model["capabilities"] == known | {"tools": True, "text": True}
    assert model["context_length"] > 0


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": ""}, *HI],
        [{"role": "user", "content": ""}],
        [*HI, {"role": "assistant", "content": ""}, *HI],
    ],
)
def test_an_empty_content_is_a_content(real: Platform, messages: Any) -> None:
    assert ask(real, messages=messages).json()["usage"]["completion_tokens"] > 0


def test_a_prompt_may_be_a_list_of_one_or_tokens(real: Platform) -> None:
    plain = ask(real, "/v1/completions", prompt="Hello").json()
    listed = ask(real, "/v1/completions", prompt=["Hello"]).json()
    assert listed["choices"][0]["text"] == plain["choices"][0]["text"]
    assert listed["usage"] == plain["usage"] or listed["usage"]["prompt_tokens"] == 1
    tokens = ask(real, "/v1/completions", prompt=[19556, 17, 198]).json()
    assert tokens["usage"]["prompt_tokens"] == 3
    unknown = ask(real, "/v1/completions", prompt=[999_999])
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "invalid_request")


def test_a_schema_that_is_none_is_the_clients_mistake(real: Platform) -> None:
    schema = {"name": "x", "schema": {"type": "objekt"}}
    answer = ask(real, messages=HI, response_format={"type": "json_schema", "json_schema": schema})
    assert answer.status_code == 400
    assert "objekt" in answer.json()["error"]["message"]
    (usage,) = Record(real, answer.headers["x-request-id"]).usage()
    assert (usage["status"], usage["completion_tokens"]) == (400, 0)


NASTY = [
    "",
    "a" * 50,
    " " * 90,
    "\u0958\ufb2c\U0001d160\ufdfa" * 4,
    "中文，" * 9,
    "\x00\x01\n\t" * 5,
]


@pytest.mark.soak
@pytest.mark.slow(seconds=15)
async def test_no_prompt_has_more_tokens_than_are_set_aside(real: Platform) -> None:
    entry = json.loads(real.running()["FOREBAY_ENGINES"])[MODEL]
    engine = LlamaCppEngine(EngineConfig(name=MODEL, model=MODEL, **entry))
    async with EngineSession() as session:
        assert await engine.probe(session)
    assert engine.capabilities.tools
    assert engine.template.base < 64, "counted, and not the guess"
    for text in NASTY:
        chat = [{"role": role, "content": text} for role in ("system", "user", "assistant", "user")]
        for messages in (chat, chat[1:2] * 3):
            usage = ask(real, messages=messages).json()["usage"]
            body = orjson.dumps({"messages": messages})
            assert usage["prompt_tokens"] <= engine.prompt_bound(body, chat=True)
        if text:
            usage = ask(real, "/v1/completions", prompt=text).json()["usage"]
            bound = engine.prompt_bound(orjson.dumps({"prompt": text}), chat=False)
            assert usage["prompt_tokens"] <= bound
