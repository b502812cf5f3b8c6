"""What the model gets to read of a conversation."""

from typing import Any

import pytest

from inference.chat import prompt
from inference.chat.prompt import Earlier, Prompt
from inference.engines.base import Engine, EngineConfig

pytestmark = pytest.mark.unit


def engine(context_length: int) -> Engine:
    return Engine(EngineConfig("m", "openai", "http://x", "m", context_length=context_length))


def turns(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": text}
        for number, text in enumerate(texts)
    ]


def fitted(told: list[dict[str, str]], context: int, **known: Any) -> Prompt:
    earlier = Earlier(told[:-1], **known)
    return prompt.fitted(earlier, told[-1]["content"], engine(context))


def letters(found: Prompt) -> str:
    return "".join(message["content"][0] for message in found.body["messages"])


def test_all_of_a_short_conversation() -> None:
    told = turns("a", "b", "c")
    body, left_out = fitted(told, 2048)
    assert (body["messages"], body["stream"], body["max_tokens"]) == (told, True, 1024)
    assert left_out == 0


def test_the_latest_turns_of_a_long_one_from_a_question_on() -> None:
    found = fitted(turns("a" * 3000, "b" * 2000, "c" * 900, "d" * 900, "e" * 900), 2048)
    assert (letters(found), found.left_out) == ("cde", 2)


def test_an_answer_does_not_come_first() -> None:
    found = fitted(turns("a" * 5000, "b" * 900, "c" * 900), 2048)
    assert (letters(found), found.left_out) == ("c", 2)


def test_chinese_takes_more_tokens() -> None:
    found = fitted(turns("中" * 600, "文" * 600, "字" * 600), 2048)
    assert (letters(found), found.left_out) == ("字", 2)


@pytest.mark.parametrize(("known", "kept"), [(0.5, "abcde"), (1.0, "cde"), (3.0, "e")])
def test_what_the_engine_counted_last_corrects_the_estimate(known: float, kept: str) -> None:
    told = turns("a" * 900, "b" * 2400, "c" * 900, "d" * 900, "e" * 900)
    assert letters(fitted(told, 2048, scale=known)) == kept


def test_after_a_refusal_half_as_much_goes_along() -> None:
    told = turns("a" * 900, "b" * 500, "c" * 500, "d" * 500, "e" * 500)
    assert [letters(fitted(told, 2048, too_long=n)) for n in (0, 1, 2, 9)] == [
        "abcde",
        "cde",
        "e",
        "e",
    ]


def test_a_scale_is_what_the_engine_made_of_it() -> None:
    told = turns("a" * 376)
    assert prompt.scale(told, 100) == 1.0
    assert prompt.scale(told, 250) == 2.5
    assert prompt.scale(told, 1) == prompt.SCALES[0]
    assert prompt.scale(told, 10_000) == prompt.SCALES[1]


def test_a_question_that_is_too_long_is_the_engines_to_refuse() -> None:
    told = turns("a" * 100_000)
    assert fitted(told, 2048) == (fitted(told, 2048).body, 0)
    assert fitted(told, 2048).body["messages"] == told


def test_a_question_without_an_answer_goes_with_the_next() -> None:
    told = [*turns("a"), *turns("again?")]
    kept = fitted(told, 2048).body["messages"]
    assert kept == [{"role": "user", "content": "a\n\nagain?"}]


def test_a_third_turn_of_a_small_context_has_its_history() -> None:
    asked = turns("a" * 200, "b" * 4800, "c" * 200, "d" * 4800, "e" * 200)
    assert (letters(fitted(asked, 4096)), fitted(asked, 4096).left_out) == ("abcde", 0)


@pytest.mark.parametrize(
    ("characters", "too_long", "tokens"),
    [(4, 0, 2048), (8000, 0, 1867), (12_000, 0, 1024), (12_000, 1, 512), (12_000, 9, 32)],
)
def test_messages_leave_the_answer_what_it_needs(
    characters: int, too_long: int, tokens: int
) -> None:
    prompt_of_one = fitted(turns("a" * characters), 4096, too_long=too_long)
    assert prompt_of_one.body["max_tokens"] == tokens


def test_one_answer_never_takes_a_huge_context_whole() -> None:
    assert fitted(turns("a"), 131_072).body["max_tokens"] == 4096


def test_the_estimate_reckons_with_a_usual_answer() -> None:
    assert prompt.estimate(fitted(turns("a" * 400), 131_072).body) == 100 + 512
