"""The input of a streamed call: each beginning of it is JSON, whatever the model writes."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jiter import from_json

from inference.api.anthropic.growing_input import GrowingInput

pytestmark = pytest.mark.unit


def grown(*pieces: str, was_cut: bool = False) -> str:
    """Returns the whole input; the SDK's parser must take each beginning of it."""
    own, text = GrowingInput(), ""
    for piece in pieces:
        text += own.add(piece)
        if text:
            from_json(text.encode(), partial_mode=True)
    return text + own.end(was_cut=was_cut)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), VALUES), st.integers(1, 7), st.booleans())
def test_an_object_arrives_as_it_is(value: dict[str, object], size: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if "\\ud" in text:  # a lone surrogate is no text
        text = "{}"
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    assert grown(*pieces) == text


@given(st.text('{}[]":, \\utrue0123-.en', max_size=30), st.integers(1, 4))
def test_whatever_the_model_writes_an_object_arrives(text: str, size: int) -> None:
    pieces = [text[n : n + size] for n in range(0, len(text), size)]
    whole = grown(*pieces)
    try:
        value = orjson.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        assert orjson.loads(whole) == value
    elif text.strip():
        assert orjson.loads(whole)["INVALID_JSON"] == text
    else:
        assert whole == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", '{"INVALID_JSON":"[1]"}'),
        ("Paris", '{"INVALID_JSON":"Paris"}'),
        ('{"a":1,,"b":2}', '{"a":1,"INVALID_JSON":"{\\"a\\":1,,\\"b\\":2}"}'),
        ('{"a":1} and more', '{"a":1 ,"INVALID_JSON":"{\\"a\\":1} and more"}'),
        ('{"a":"x', '{"a":"x","INVALID_JSON":"{\\"a\\":\\"x"}'),
        ('{"a":{"b":[1,', '{"a":{"b":[1,null]},"INVALID_JSON":"{\\"a\\":{\\"b\\":[1,"}'),
        ('{"a":"\\ud800"}', '{"a":"","INVALID_JSON":"{\\"a\\":\\"\\\\ud800\\"}"}'),
        ('{"a":tru', '{"a":null,"INVALID_JSON":"{\\"a\\":tru"}'),
        ('{"a', '{"a":null,"INVALID_JSON":"{\\"a"}'),
        ("{}}", '{"INVALID_JSON":"{}}"}'),
        (" ", ""),
    ],
)
def test_what_is_no_object_ends_with_its_whole_text(text: str, expected: str) -> None:
    assert grown(*text) == expected


def test_one_that_is_too_deep_for_a_request_ends_so_too() -> None:
    text = '{"a":' * 65 + "1" + "}" * 65
    value = orjson.loads(grown(*text))
    assert value["INVALID_JSON"] == text


def test_an_answer_that_was_cut_has_a_part_of_its_input() -> None:
    assert grown('{"city": "Par', was_cut=True) == '{"city": "Par'
    assert grown('{"city": "Paris"}', was_cut=True) == '{"city": "Paris"}'
