"""Lines and whole answers, from the chunks of engines."""

from typing import Any

import orjson
import pytest

from inference.api.ollama.chunks import INVALID_ARGUMENTS
from inference.api.ollama.lines import LineWriter, Shape, Timing
from inference.codec import pieces
from inference.codec.events import split
from inference.errors import Cancelled, error_body
from inference.stream.frames import Frame, Kind

pytestmark = pytest.mark.unit
USAGE = {"prompt_tokens": 9, "completion_tokens": 4}


def chunk(reason: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + orjson.dumps({"id": "x", "model": "small", "choices": [choice]})


def tool(index: int = 0, **function: str) -> bytes:
    identity = {"id": f"call_{index}"} if "name" in function else {}
    return chunk(tool_calls=[{"index": index, **identity, "function": function}])


COUNT = b"data: " + orjson.dumps({"model": "small", "choices": [], "usage": USAGE})
DONE = b"data: [DONE]"
START = chunk(role="assistant", content="")
END = [chunk("stop"), COUNT, DONE]


def frames(*groups: list[bytes]) -> list[Frame]:
    """Returns a frame for each group of chunks; the last ends the stream."""
    number, made = 0, list[Frame]()
    for n, group in enumerate(groups):
        number += len(group)
        kind = Kind.END if n == len(groups) - 1 else Kind.EVENTS
        blob = b"".join(event + b"\n\n" for event in group)
        made.append(Frame(b"", 1, number, kind, blob))
    return made


def writer(*, is_chat: bool = True, **options: Any) -> LineWriter:
    return LineWriter(Shape("small", is_chat=is_chat), **options)


def read(own: LineWriter, *groups: list[bytes]) -> list[dict[str, Any]]:
    text = b"".join(own.written(frame) for frame in frames(*groups))
    assert text.endswith(b"\n") or not text
    return [orjson.loads(line) for line in text.splitlines()]


def whole(own: LineWriter, *groups: list[bytes]) -> dict[str, Any]:
    for frame in frames(*groups):
        own.hear(split(frame.body))
    answer: dict[str, Any] = orjson.loads(own.whole())
    return answer


def test_each_frame_is_a_line_with_the_number_of_its_last_chunk() -> None:
    made = read(
        writer(), [START], [chunk(content="a"), chunk(content="b")], [chunk(content="c")], END
    )
    assert [line["message"]["content"] for line in made] == ["ab", "c", ""]
    assert [line["event"] for line in made] == [3, 4, 7]
    assert (made[-1]["prompt_eval_count"], made[-1]["eval_count"]) == (9, 4)


def test_of_several_answers_the_first_one_alone() -> None:
    """A chat's stream with `n`, which is read again here."""
    second = orjson.loads(chunk("length", content="Bye").partition(b": ")[2])
    second["choices"][0]["index"] = 1
    other = b"data: " + orjson.dumps(second)
    *texts, end = read(writer(), [START, chunk(content="Hi"), other], [chunk("stop"), other, DONE])
    assert [line["message"]["content"] for line in texts] == ["Hi"]
    assert end["done_reason"] == "stop"


def test_prompts_have_their_own_shape() -> None:
    text = b"data: " + orjson.dumps({"choices": [{"text": "a"}]})
    end = b"data: " + orjson.dumps({"choices": [{"text": "", "finish_reason": "length"}]})
    first, last = read(writer(is_chat=False), [text], [end, COUNT, DONE])
    assert (first["response"], first["done"], "message" in first) == ("a", False, False)
    assert (last["response"], last["done_reason"]) == ("", "length")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "stop"), ("content_filter", "stop")],
)
def test_the_reason_of_the_end(reason: str, expected: str) -> None:
    end = [chunk(content="x"), chunk(reason), COUNT, DONE]
    assert read(writer(), end)[-1]["done_reason"] == expected
    assert whole(writer(), end)["done_reason"] == expected


@pytest.mark.parametrize("shown", [True, False])
def test_thinking(shown: bool) -> None:
    groups = [chunk(reasoning_content="Hm"), chunk(reasoning="!")], [chunk(content="a"), *END]
    thoughts = [
        line["message"].get("thinking") for line in read(writer(shows_thinking=shown), *groups)
    ]
    assert thoughts == (["Hm!", None, None] if shown else [None, None])
    message = whole(writer(shows_thinking=shown), *groups)["message"]
    assert message == {
        "role": "assistant",
        "content": "a",
        **({"thinking": "Hm!"} if shown else {}),
    }


def test_calls_come_whole_before_the_end() -> None:
    chunks = [
        chunk(content="I look."),
        tool(1, name="g", arguments=""),
        tool(0, name="f", arguments='{"a":'),
        tool(0, arguments="1}"),
        tool(1, arguments="{}"),
    ]
    end = [chunk("tool_calls"), COUNT, DONE]
    calls = [
        {"id": "call_0", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
        {"id": "call_1", "function": {"index": 1, "name": "g", "arguments": {}}},
    ]
    for groups in ((chunks, end), ([*chunks, *end],), (*([each] for each in chunks), end)):
        text, called, last = read(writer(), *groups)
        assert (text["message"]["content"], called["message"]["tool_calls"]) == ("I look.", calls)
        assert (called["done"], last["done"]) == (False, True)
        assert "event" not in called, "a reader that came back there would miss the end"
        message = whole(writer(), *groups)["message"]
        assert message == {"role": "assistant", "content": "I look.", "tool_calls": calls}


TOO_DEEP = '{"a":' + "[" * 300 + "]" * 300 + "}"


@pytest.mark.parametrize("arguments", ["[1]", '{"a"', "7", TOO_DEEP])
def test_arguments_that_are_no_object(arguments: str) -> None:
    _, called, *_ = [None, *read(writer(), [tool(name="f", arguments=arguments), *END])]
    assert called
    (made,) = called["message"]["tool_calls"]
    assert made["function"]["arguments"] == {INVALID_ARGUMENTS: arguments}
    message = whole(writer(), [tool(name="f", arguments=arguments), *END])["message"]
    assert message["tool_calls"] == [made]


def test_logprobs() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [token]}}
    piece = b"data: " + orjson.dumps({"choices": [choice]})
    assert read(writer(), [piece], END)[0]["logprobs"] == [token]
    assert whole(writer(), [piece], [piece, *END])["logprobs"] == [token, token]


# Time ---------------------------------------------------------------------------------------------
class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0

    def monotonic_ns(self) -> int:
        self.seconds += 1
        return self.seconds * 10**9


def test_durations_are_of_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.api.ollama.lines.time", Clock())
    timing = Timing()  # second 1
    timing.recorded()  # 2
    own = writer(timing=timing)
    read_ = read(own, [START], [chunk(content="a")], [chunk(content="b")], END)  # 3: the first word
    assert {name: value // 10**9 for name, value in read_[-1].items() if "duration" in name} == {
        "total_duration": 3,
        "load_duration": 1,
        "prompt_eval_duration": 1,
        "eval_duration": 1,
    }


def test_hidden_thinking_is_time_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("inference.api.ollama.lines.time", clock)
    timing = Timing()
    timing.recorded()
    own = writer(timing=timing, shows_thinking=False)
    first, *rest = frames([chunk(reasoning_content="Hm")], [chunk(content="a")], END)
    assert own.written(first) == b""
    clock.seconds += 10
    lines = b"".join(map(own.written, rest)).splitlines()
    assert orjson.loads(lines[-1])["eval_duration"] == 11 * 10**9


def test_of_an_answer_in_one_piece_all_time_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.api.ollama.lines.time", Clock())
    timing = Timing()
    timing.recorded()
    timing.comes_whole()
    message = {
        "content": "a",
        "tool_calls": [{"id": n, "function": {"name": n, "arguments": "{}"}} for n in ("f", "g")],
    }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    answer = orjson.dumps({"object": "chat.completion", "choices": [choice], "usage": USAGE})
    own = writer(timing=timing)
    own.hear(list(pieces.of_answer(answer, include_usage=True)))
    made = orjson.loads(own.whole())
    assert [call["function"]["name"] for call in made["message"]["tool_calls"]] == ["f", "g"]
    assert (made["message"]["content"], made["eval_count"]) == ("a", 4)
    durations = {name: value // 10**9 for name, value in made.items() if "duration" in name}
    assert durations == {"total_duration": 2, "load_duration": 1, "eval_duration": 1}


# The end ------------------------------------------------------------------------------------------
def test_an_answer_that_was_ended_early_is_an_error() -> None:
    *_, last = read(writer(), [chunk(content="x")], [DONE])
    assert last == {"error": Cancelled().message, "code": "cancelled", "param": None, "event": 2}
    with pytest.raises(Cancelled):
        whole(writer(), [chunk(content="x")], [DONE])


def test_an_error_in_the_middle() -> None:
    error = Frame(b"", 99, 7, Kind.ERROR, error_body("gone", "engine_failed", 502), 502)
    line = orjson.loads(writer().written(error))
    assert line == {"error": "gone", "code": "engine_failed", "param": None, "event": 7}


STREAM = (
    [START, chunk(reasoning_content="Hm"), chunk(content="a")],
    [chunk(content="b"), chunk(content="c")],
    [
        tool(0, name="f", arguments='{"x":'),
        tool(0, arguments="1}"),
        chunk("tool_calls"),
        COUNT,
        DONE,
    ],
)


@pytest.mark.parametrize("after", range(11))
def test_read_again_it_goes_on_after_the_last_event(after: int) -> None:
    """Each number is an event that a reader may have seen last."""
    rest = read(writer(after=after), *STREAM)
    before = writer()
    heard = list[dict[str, Any]]()
    for number, each in enumerate([c for group in STREAM for c in group][:after], 1):
        frame = Frame(b"", 1, number, Kind.EVENTS, each + b"\n\n")
        heard += [orjson.loads(line) for line in before.written(frame).splitlines()]
    texts = [line["message"]["content"] for line in (*heard, *rest)]
    assert "".join(texts) == "abc"
    calls = [line for line in rest if "tool_calls" in line["message"]]
    assert len(calls) == (1 if after < 10 else 0)
    assert [line["done"] for line in rest[-1:]] == ([True] if after < 10 else [])
