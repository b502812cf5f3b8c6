"""An engine's events are read as little as possible, and never misread."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.codec import events as sse
from tests.inference.orders import chunk, event, usage

pytestmark = pytest.mark.unit
TRICKS = [
    '"finish_reason": "stop"',
    '{"finish_reason":"stop"}',
    '\\"finish_reason\\": \\"stop\\"',
    '","finish_reason":"stop","x":"',
    '"usage": {"prompt_tokens": 1}',
    "data: [DONE]",
    "data: {}",
    "\n\ndata: [DONE]\n\n",
    '"id":"chatcmpl-evil"',
]


@pytest.mark.parametrize("text", TRICKS)
def test_text_that_looks_like_the_end_is_not_the_end(text: str) -> None:
    assert not sse.ends(chunk(text))
    called = {"index": 0, "function": {"name": "f", "arguments": text}}
    assert not sse.ends(chunk(tool_calls=[called]))


@given(st.text())
def test_no_text_at_all_looks_like_the_end(text: str) -> None:
    assert not sse.ends(chunk(text))
    assert b"\n" not in chunk(text)


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_a_finish_reason_is_the_end(reason: str) -> None:
    assert sse.ends(chunk("bye", finish=reason))
    assert sse.ends(b'data: {"choices":[{"finish_reason":  "%b"}]}' % reason.encode())


def test_null_is_no_finish_reason() -> None:
    assert not sse.ends(chunk("a"))
    assert not sse.ends(b'data: {"choices":[{"finish_reason": null}]}')


def test_an_empty_finish_reason_is_none() -> None:
    assert not sse.ends(chunk("a", finish=""))


def test_the_role_event_opens_and_others_do_not() -> None:
    assert sse.opens(chunk("", role="assistant"))
    assert sse.opens(chunk(role="assistant"))
    assert not sse.opens(chunk("hello", role="assistant"))
    assert not sse.opens(chunk("hello"))


def test_the_names_of_an_answer_are_told_from_others() -> None:
    assert sse.name_field(chunk("a"), "model") == b'"model":"theirs"'
    assert sse.name_field(b"data: [DONE]", "model") is None
    spaced = b'data: {"choices":[{"id": "call_1"}],"id": "a\\/b"}'
    assert sse.name_field(spaced, "id") == b'"id": "a\\/b"'
    assert sse.name_field(b'data: {"choices":[{"id": "call_1"}]}', "id") is None


@pytest.mark.parametrize("odd", [b"data: [DONE]", b": comment", b"", b"data: {", b"data: [1]"])
def test_what_is_no_object_is_nothing(odd: bytes) -> None:
    assert sse.parsed(odd) == {}
    assert sse.text_in(odd) == ""


@pytest.mark.parametrize("text", ["plain", *TRICKS, "see data: here", "data:image/png;base64,AAAA"])
def test_the_text_is_read_whatever_it_says(text: str) -> None:
    assert sse.text_in(chunk(text)) == text
    assert sse.text_in(event({"choices": [{"text": text}]})) == text


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert sse.text_in(chunk(text)) == text


def test_numbered_events_are_read_too() -> None:
    assert sse.text_in(b"id: 7\n" + chunk("hello")) == "hello"


def test_events_without_text_have_none() -> None:
    for found in (chunk(role="assistant"), chunk(finish="stop"), usage(), event({"choices": []})):
        assert sse.text_in(found) == ""


def test_an_events_data_is_json_as_the_engine_sent_it() -> None:
    assert sse.parsed(chunk("ü")) == orjson.loads(chunk("ü")[6:])


def test_what_many_events_say_is_what_each_of_them_says() -> None:
    thought = b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}'
    odd = [b"data: {", b"data: 1,2", b"data:", b'data: {"choices":[]}']
    plain, mixed = [thought, chunk("a"), chunk("b")], [chunk("a"), *odd, thought, chunk("b")]
    for events in (plain, mixed, list[bytes]()):
        said = list(map(sse.said_in, events))
        expected = "".join(s.text for s in said), "".join(s.reasoning for s in said)
        assert sse.said_in_all(events) == expected
    assert sse.said_in_all([thought, chunk("a")]) == ("a", "hm")


@pytest.mark.parametrize(
    "other",
    [
        chunk("bye", finish="stop"),
        event({"choices": [], "usage": {"prompt_tokens": 1}}),
        event({"error": {"message": "broken"}}),
        b'error: {"code":500}',
        sse.DONE,
    ],
)
def test_only_text_alone_is_shown_without_a_look_at_each(other: bytes) -> None:
    text = [chunk("a"), chunk("b")]
    assert sse.are_text_alone(text)
    assert not sse.are_text_alone([*text, other])
    assert not sse.are_text_alone([other, *text])


def test_lines_that_are_no_data_are_left_out_among_others() -> None:
    assert sse.relevant([b"data: 1", b"data: 2"]) == [b"data: 1", b"data: 2"]
    assert sse.relevant([b"data: 1", b": ping", b"event: x\ndata: 2"]) == [b"data: 1", b"data: 2"]


def test_of_several_answers_one_text_is_the_first_ones() -> None:
    """A front end whose wire has one answer shows that one when it reads such a stream again."""
    pieces = [chunk("a"), chunk("b").replace(b'"index":0', b'"index":1'), chunk("c")]
    assert [sse.text_in(piece) for piece in pieces] == ["a", "", "c"]
    assert sse.said_in_all(pieces).text == "ac"
