"""Reasoning is told apart from the answer, in whichever form an engine sends it."""

import pytest

from inference.codec import events as sse
from inference.reasoning import Said, as_one_text, packed, parted, unpacked
from tests.inference.orders import chunk, event
from tests.inference.stream.reasoning_cases import CASES

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("said", "found"), CASES)
def test_a_text_is_parted(said: tuple[str, str], found: tuple[str, str]) -> None:
    assert parted(Said(*said)) == Said(*found)


@pytest.mark.parametrize("said", [Said("Hello"), Said("你好", "嗯……"), Said("", "Hm."), Said("")])
def test_it_is_stored_beside_the_text(said: Said) -> None:
    assert unpacked(packed(said)) == said


def test_what_was_stored_before_is_a_text() -> None:
    assert packed(Said("Hello")) == b"Hello"


def test_the_record_has_all_that_was_read() -> None:
    assert as_one_text(Said("Hello", "Hm.")) == "<think>\nHm.\n</think>\n\nHello"
    assert as_one_text(Said("Hello")) == "Hello"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_engines_name_the_field_differently(field: str) -> None:
    assert sse.said_in(chunk(**{field: "Hm."})) == Said("", "Hm.")
    whole = {"choices": [{"message": {"content": "Hello", field: "Hm."}}]}
    assert sse.said_of(event(whole).removeprefix(b"data: ")) == Said("Hello", "Hm.")


def test_a_reasoning_that_is_no_text_does_not_hide_the_answer() -> None:
    assert sse.said_in(chunk("Hello", reasoning={"effort": "high"})) == Said("Hello")
