"""From protobuf to the bodies that are checked, and from frames to protobuf."""

from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api.grpc import answers, requests
from inference.api.grpc.requests import MOST_FIELDS
from inference.api.grpc.stubs import deepseek_pb2
from inference.api.grpc.stubs.forebay.v1 import inference_pb2 as pb
from inference.errors import ApiError, BadRequest, Cancelled
from inference.stream.frames import Frame, Kind

pytestmark = pytest.mark.unit
SERVICES = [pb.InferenceRequest, deepseek_pb2.InferenceRequest]


@pytest.mark.parametrize("message", SERVICES)
def test_the_plain_call(message: type) -> None:
    sent = message(prompt="Say hi.", max_tokens=4, temperature=0.7, stop_words=["x", "y"])
    assert requests.plain_call(sent) == {
        "prompt": "Say hi.",
        "max_tokens": 4,
        "temperature": 0.7,
        "stop_words": ["x", "y"],
    }


@pytest.mark.parametrize("message", SERVICES)
def test_what_is_left_out_is_not_zero(message: type) -> None:
    assert requests.plain_call(message(prompt="Say hi.")) == {"prompt": "Say hi."}
    assert requests.plain_call(message(prompt="Say hi.", temperature=0))["temperature"] == 0


def test_a_chat() -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    sent = pb.ChatRequest(model="mock", messages=messages, top_p=0.5, stop=["x"], seed=2**40)
    assert requests.chat(sent) == {
        "model": "mock",
        "messages": messages,
        "top_p": 0.5,
        "stop": ["x"],
        "seed": 2**40,
    }


def test_a_field_that_is_not_known_is_refused() -> None:
    with pytest.raises(BadRequest) as problem:
        requests.parsed(pb.InferenceRequest, b"\x0a\x02hi\x48\x05")
    assert problem.value.param == "9"


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(BadRequest) as problem:
        requests.parsed(pb.ChatRequest, b"{}")
    assert problem.value.code == "invalid_protobuf"


def test_a_field_of_another_type_is_refused() -> None:
    """A temperature of 64 bits, as from a proto of somebody's own."""
    with pytest.raises(BadRequest) as problem:
        requests.parsed(deepseek_pb2.InferenceRequest, b"\x19" + bytes(8))
    assert problem.value.param == "3"


def test_a_field_that_is_not_known_in_a_message_of_a_chat() -> None:
    sent = pb.ChatRequest(model="mock")
    sent.messages.append(pb.ChatMessage.FromString(b"\x0a\x04user\x48\x05"))
    with pytest.raises(BadRequest) as problem:
        requests.parsed(pb.ChatRequest, sent.SerializeToString())
    assert problem.value.param == "messages[0].9"


def test_the_kind_of_a_field_alone_is_told_where_very_many_would_have_to_be_looked_at() -> None:
    many = b"\x12\x0a\x12\x0812345678" * (MOST_FIELDS - 1)
    assert len(requests.parsed(pb.ChatRequest, many).messages) == MOST_FIELDS - 1
    with pytest.raises(BadRequest) as problem:
        requests.parsed(pb.ChatRequest, many + b"\x48\x05")
    assert problem.value.param is None


@pytest.mark.parametrize(
    "field",
    [b"\x12\0", b"\x32\0", b"\x5a\0", b"\x78\x81\x01", b"\x79" + bytes(8), b"\x7d" + bytes(4)],
)
def test_a_message_of_too_many_fields_is_refused_before_it_is_read(field: bytes) -> None:
    class Unread:
        """Has nothing that reads."""

    for count in (MOST_FIELDS + 1, 300_000):
        with pytest.raises(BadRequest, match=f"at most {MOST_FIELDS} fields") as problem:
            requests.parsed(cast(Any, Unread), field * count)
        assert problem.value.code == "invalid_protobuf"
    assert not requests.has_more_fields(field * MOST_FIELDS, MOST_FIELDS)


def test_fields_behind_an_unknown_group_are_counted_too() -> None:
    """protobuf passes over groups, and makes objects of all that stands behind one."""
    group = b"\xfb\x07\xfc\x07"
    assert len(pb.ChatRequest.FromString(group + b"\x12\0" * 3).messages) == 3
    with pytest.raises(BadRequest, match=f"at most {MOST_FIELDS} fields"):
        requests.parsed(pb.ChatRequest, group + b"\x12\0" * MOST_FIELDS)


@given(st.binary(max_size=200))
def test_any_bytes_are_counted_to_their_end(sent: bytes) -> None:
    assert requests.has_more_fields(sent, 0) == bool(sent)
    assert not requests.has_more_fields(sent, len(sent))


# Answers -----------------------------------------------------------------------------------------
def chunk(**choice: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def test_events_that_came_together_stay_together() -> None:
    body = chunk(delta={"content": "a"}) + chunk(delta={"content": "b", "reasoning_content": "r"})
    event = answers.Events("id").of(Frame(b"", 1, 3, Kind.EVENTS, body))
    assert (event.number, event.text, event.reasoning) == (3, "ab", "r")
    assert (event.finish_reason, event.HasField("usage"), event.request_id) == ("", False, "id")


def test_the_end_has_a_reason_and_the_usage() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    counted = b"data: " + orjson.dumps({"choices": [], "usage": usage}) + b"\n\n"
    body = chunk(text="!", finish_reason="stop") + counted + b"data: [DONE]\n\n"
    event = answers.Events("id").of(Frame(b"", 1, 9, Kind.END, body))
    assert (event.text, event.finish_reason, event.usage.total_tokens) == ("!", "stop", 5)


def test_of_several_answers_the_first_one_is_read_to_its_own_end() -> None:
    """One that ends later has its reason in the last frame."""
    own = answers.Events("id")
    first = chunk(index=0, text="a", finish_reason="stop") + chunk(index=1, text="b")
    assert own.of(Frame(b"", 1, 2, Kind.EVENTS, first)).text == "a"
    last = chunk(index=1, text="c", finish_reason="length") + b"data: [DONE]\n\n"
    end = own.of(Frame(b"", 1, 4, Kind.END, last))
    assert (end.text, end.finish_reason) == ("", "stop")
    assert answers.Events("id").of(Frame(b"", 1, 4, Kind.END, last)).finish_reason == "length"


def test_an_end_without_a_reason_was_cancelled() -> None:
    """Never a false `stop`."""
    with pytest.raises(Cancelled):
        answers.Events("id").of(Frame(b"", 1, 9, Kind.END, b"data: [DONE]\n\n"))
    with pytest.raises(Cancelled):
        answers.Whole(Frame(b"", 1, 0, Kind.BODY, b""))


def test_an_error_is_raised() -> None:
    body = b'{"error":{"message":"m","type":"t","param":null,"code":"worker_lost"}}'
    with pytest.raises(ApiError) as problem:
        answers.Events("id").of(Frame(b"", 1, 9, Kind.ERROR, body, 502))
    assert (problem.value.code, problem.value.status) == ("worker_lost", 502)


def test_a_whole_answer_without_a_reason_stopped_as_its_record_says() -> None:
    found = {"choices": [{"text": "hi"}]}
    assert answers.Whole(Frame(b"", 1, 0, Kind.BODY, orjson.dumps(found))).finish_reason == "stop"


@pytest.mark.parametrize("choice", [{"text": "hi"}, {"message": {"content": "hi"}}])
def test_a_whole_answer(choice: dict[str, object]) -> None:
    details = {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
    found = {"choices": [{**choice, "finish_reason": "length"}], "usage": details}
    whole = answers.Whole(Frame(b"", 1, 0, Kind.BODY, orjson.dumps(found)))
    assert (whole.text, whole.finish_reason) == ("hi", "length")
    assert whole.usage == {
        "prompt_tokens": 3,
        "completion_tokens": 0,
        "total_tokens": 0,
        "cached_tokens": 2,
    }
