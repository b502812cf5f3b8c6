"""What the model gets to read of a conversation."""

import pytest

from inference.chat import prompt
from inference.engines.base import Engine, EngineConfig

pytestmark = pytest.mark.unit


def engine(context_length: int) -> Engine:
    return Engine(EngineConfig("m", "openai", "http://x", "m", context_length=context_length))


def turns(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": text}
        for number, text in enumerate(texts)
    ]


def test_all_of_a_short_conversation() -> None:
    told = turns("a", "b", "c")
    body = prompt.body(told, engine(2048))
    assert (body["messages"], body["stream"], body["max_tokens"]) == (told, True, 1024)


def test_the_latest_turns_of_a_long_one_from_a_question_on() -> None:
    told = turns("a" * 2000, "b" * 2000, "c" * 900, "d" * 900, "e" * 900)
    kept = prompt.body(told, engine(2048))["messages"]
    assert [message["content"][0] for message in kept] == ["c", "d", "e"]


def test_an_answer_does_not_come_first() -> None:
    told = turns("a" * 3000, "b" * 900, "c" * 900)
    kept = prompt.body(told, engine(2048))["messages"]
    assert [message["content"][0] for message in kept] == ["c"]


def test_a_question_that_is_too_long_is_the_engines_to_refuse() -> None:
    told = turns("a" * 100_000)
    assert prompt.body(told, engine(2048))["messages"] == told


def test_a_question_without_an_answer_goes_with_the_next() -> None:
    told = [*turns("a"), *turns("again?")]
    kept = prompt.body(told, engine(2048))["messages"]
    assert kept == [{"role": "user", "content": "a\n\nagain?"}]


def test_one_answer_never_takes_a_huge_context_whole() -> None:
    assert prompt.body(turns("a"), engine(131_072))["max_tokens"] == 4096


def test_the_estimate_reckons_with_a_usual_answer() -> None:
    body = prompt.body(turns("a" * 400), engine(131_072))
    assert prompt.estimate(body) == 100 + 512
