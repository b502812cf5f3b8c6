"""Usage comes in a chunk of its own, wherever the engine says it."""

from typing import Any

import orjson
import pytest

from inference.codec.answer_translator import AnswerTranslator
from inference.codec.events import parsed

pytestmark = pytest.mark.unit
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
END = {"index": 0, "delta": {}, "finish_reason": "stop"}


def event(*choices: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + orjson.dumps({"id": "1", "model": "m", "choices": list(choices), **more})


@pytest.mark.parametrize("include_usage", [True, False])
def test_usage_beside_the_finish_reason_is_told_apart(include_usage: bool) -> None:
    translator = AnswerTranslator(
        "chatcmpl-2", "ours", hides_cache=False, include_usage=include_usage
    )
    tail = translator.tail(event(END, usage=USAGE))
    assert (tail.finish_reason, tail.usage) == ("stop", USAGE)
    last, *usage = map(parsed, tail.events)
    assert (last["choices"], "usage" in last) == ([END], False)
    told = [(chunk["choices"], chunk["usage"], chunk["id"]) for chunk in usage]
    assert told == [([], USAGE, "chatcmpl-2")] * include_usage


@pytest.mark.parametrize("include_usage", [True, False])
def test_a_chunk_with_usage_alone_stays_as_it_is(include_usage: bool) -> None:
    translator = AnswerTranslator(
        "chatcmpl-2", "ours", hides_cache=False, include_usage=include_usage
    )
    alone, plain = event(usage=USAGE), event(END)
    assert translator.tail(alone).events == (alone,) * include_usage
    assert translator.tail(plain).events == (plain,)
