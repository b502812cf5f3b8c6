"""The questions that an order with several choices becomes."""

from typing import Any

import orjson
import pytest

from inference.engines.choices import ONE, Several, questions, several_of
from tests.inference.orders import an_order

pytestmark = pytest.mark.unit


def questioned(body: dict[str, Any], *, together: bool) -> list[tuple[int, int, dict[str, Any]]]:
    order = an_order(body=orjson.dumps(body), choices=6)
    all_questions = list(questions(order, lambda _: together))
    assert {question.order.choices for question in all_questions} == {1}
    return [(each.first, each.count, orjson.loads(each.order.body)) for each in all_questions]


def test_all_answers_to_a_prompt_together() -> None:
    parts = questioned({"prompt": ["a", [1, 2], "c"], "n": 2, "seed": 5}, together=True)
    assert parts == [
        (0, 2, {"prompt": "a", "n": 2, "seed": 5}),
        (2, 2, {"prompt": [1, 2], "n": 2, "seed": 5}),
        (4, 2, {"prompt": "c", "n": 2, "seed": 5}),
    ]
    assert questioned({"prompt": ["a", "b"]}, together=True)[1] == (1, 1, {"prompt": "b"})


def test_each_answer_apart_with_a_seed_of_its_own() -> None:
    parts = questioned({"prompt": ["a", "b"], "n": 2, "seed": 2**63 - 1}, together=False)
    assert [(first, count) for first, count, _ in parts] == [(n, 1) for n in range(4)]
    assert [body["prompt"] for _, _, body in parts] == ["a", "a", "b", "b"]
    assert [body["seed"] for _, _, body in parts] == [2**63 - 1, -(2**63)] * 2
    chat = questioned({"messages": [], "n": 3}, together=False)
    assert [body for _, _, body in chat] == [{"messages": []}] * 3


def test_how_often_prompts_are_read() -> None:
    assert several_of({"messages": [], "n": None}, read_once=False) is ONE
    assert several_of({"prompt": [1, 2, 3]}, read_once=False) is ONE
    assert several_of({"prompt": ["a", "b"], "n": 3}, read_once=True) == Several(2, 3, 1)
    assert several_of({"prompt": ["a", "b"], "n": 3}, read_once=False) == Several(2, 3, 3)
    assert several_of({"messages": [], "n": 8.0}, read_once=False).count == 8
