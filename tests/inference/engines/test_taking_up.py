"""Text completions: prompt and answer are one text, which an engine reads anew to go on."""

from typing import Any

import orjson
import pytest

from inference.engines.base import EngineConfig
from inference.engines.llama_cpp import LlamaCppEngine
from inference.engines.vllm import VllmEngine
from tests.inference.orders import an_order
from tests.inference.scripted import generation

pytestmark = pytest.mark.unit
URL = "http://127.0.0.1:9"
ENGINES = {
    "llama.cpp": LlamaCppEngine(EngineConfig("m", "llama.cpp", URL, "m")),
    "vllm": VllmEngine(EngineConfig("m", "vllm", URL, "m")),
}


def piece(text: str) -> bytes:
    said = {"index": 0, "text": text, "finish_reason": None}
    return b"data: " + orjson.dumps({"object": "text_completion", "choices": [said]})


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("prompt", "pieces", "may"),
    [
        ("It is", [" Mount", " Fuji"], True),
        ("It is:", [" ", "9"], True),
        ("It is", ["n't"], False),  # with what it follows, other tokens
        ("It is ", [" Mount"], False),
        ("It is", ["\n\n", "Mount"], False),
        ("It is", [" (", "Mount"], False),
        ("它是", ["富士山"], False),
        ([12, 13], [" Mount"], False),  # tokens and text
        ("It is", [], True),
    ],
)
def test_it_is_parked_where_it_goes_on_as_before(
    kind: str, prompt: Any, pieces: list[str], may: bool
) -> None:
    order = an_order(chat=False, body=orjson.dumps({"prompt": prompt, "max_tokens": 9}))
    work = generation(ENGINES[kind], order)
    work.sent_events = [*map(piece, pieces)]
    assert work.can_wait_again() is may
    assert work.may_be_parked()


@pytest.mark.parametrize("more", [{"logprobs": 1}, {"echo": True}, {"suffix": "."}])
def test_what_is_more_than_text_runs_through(more: dict[str, Any]) -> None:
    order = an_order(chat=False, body=orjson.dumps({"prompt": "It is", **more}))
    for engine in ENGINES.values():
        work = generation(engine, order)
        work.sent_events = [piece(" Mount")]
        assert not work.can_wait_again()
