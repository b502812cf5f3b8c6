"""No body costs more to refuse than a few passes over its bytes, whatever stands in it."""

import gzip
import time
import tracemalloc
import unicodedata
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.parts.bodies.hostile_bodies import (
    COUNTED,
    LARGEST,
    calling,
    chat,
    filled,
    read_chats,
    tokens,
)
from inference.batch.input_lines import Malformed, line_request
from inference.engines.base import EngineConfig
from inference.engines.kinds.openai import OpenAIEngine
from inference.engines.prompt_bound import GROWTH, LONGEST_RUN, Template, prompt_bound
from inference.errors import ApiError, BadRequest
from inference.validation import bounded_json, requests
from inference.validation.bounded_json import (
    LIGHT,
    MOST_CONTAINERS,
    MOST_LEVELS,
    MOST_TEXTS,
    MOST_VALUES,
    TooManyValues,
    containers,
    loads,
    shallow,
)
from inference.validation.requests import Form, checked

pytestmark = pytest.mark.unit
# Seconds of this thread's own time. Measured: 0.08 at most. Without the bounds: 0.3 to 2 each.
SOON = 0.25
TRIES = 3  # a neighbour on the same core slows any single one down
ENGINE = OpenAIEngine(
    EngineConfig("smol", "openai", "http://x/v1", "smol", context_length=1_000_000)
)


def soon(work: Any, *args: Any) -> bool:
    return any(_seconds(work, *args) < SOON for _ in range(TRIES))


def _seconds(work: Any, *args: Any) -> float:
    began = time.thread_time()
    work(*args)
    return time.thread_time() - began


def refused(raw: bytes, form: Form = Form.CHAT) -> ApiError:
    with pytest.raises(ApiError) as caught:
        checked(requests.parsed(raw), len(raw), form, ENGINE)
    return caught.value


# What is refused ---------------------------------------------------------------------------------
@pytest.mark.parametrize("raw", COUNTED.values(), ids=COUNTED)
def test_a_body_of_many_values_is_refused_before_it_is_read(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was read"))
    with pytest.raises(BadRequest, match="it has more than") as caught:
        requests.parsed(raw)
    assert caught.value.code == "invalid_json"
    assert soon(refused, raw)


@pytest.mark.parametrize("raw", COUNTED.values(), ids=COUNTED)
def test_refusing_it_takes_no_more_memory_than_copies_of_it(raw: bytes) -> None:
    tracemalloc.start()
    try:
        refused(raw)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST
    finally:
        tracemalloc.stop()


def test_some_kilobytes_of_gzip_are_such_a_body() -> None:
    assert len(gzip.compress(COUNTED["empty lists"])) < LIGHT


def test_all_that_is_read_and_then_refused_is_refused_soon() -> None:
    """bench/parts/bodies/refusals.py holds 50 ms."""
    for name, raw in read_chats():
        assert soon(refused, raw), name
    assert soon(refused, tokens(), Form.TEXT)


def test_a_line_of_a_batch_is_bounded_like_a_body() -> None:
    head = b'{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"a":['
    for unit in (b"[],", b"0,"):
        line = filled(unit, (head, b"0]}}"))
        with pytest.raises(Malformed) as caught:
            line_request(line, "/v1/chat/completions")
        assert caught.value.code == "invalid_json_line"


def test_marks_that_would_be_sorted_for_seconds_are_counted_at_their_longest() -> None:
    """To bring n marks of one letter into order takes n * n steps."""
    template = Template()
    for marks in ("\u0315\u0300" * 16_000, "\u0f73\u0f71" * 10_000, "\uff9e\u0315" * 12_000):
        body = orjson.dumps({"prompt": "a" + marks})
        for form in GROWTH:
            assert soon(prompt_bound, body, template, form)
            longest = len(unicodedata.normalize(form, "a" + marks[:2000]).encode())
            assert prompt_bound(body, None, form) >= longest * (len(marks) // 2000)


@given(st.text(st.sampled_from("ab中\u0315\u0300\u0344\u1ebf\u0323\u0f73\u0958"), max_size=3000))
@example("a" + "\u0315\u0300" * LONGEST_RUN + "\u0344" * 900)
@example("中" * 900 + "\u01d8" + "\u0323" * (LONGEST_RUN - 2))
def test_no_text_of_marks_has_more_tokens_than_its_bound(text: str) -> None:
    body = orjson.dumps({"prompt": text})
    for form in GROWTH:
        assert prompt_bound(body, None, form) >= len(unicodedata.normalize(form, text).encode())


# What is taken -----------------------------------------------------------------------------------
def test_brackets_and_commas_in_texts_are_no_values() -> None:
    code = 'if (a[1]) { say("b, c"); } \\ ' * 20_000
    for raw in (
        chat([{"role": "user", "content": code}]),
        chat(calling(orjson.dumps([code]).decode())),
    ):
        assert len(raw) > LIGHT
        assert checked(requests.parsed(raw), len(raw), Form.CHAT, ENGINE) == orjson.loads(raw)


def test_as_many_values_as_are_allowed_are_read() -> None:
    value: Any
    for value in ([[]] * (MOST_CONTAINERS - 2), ["a"] * (MOST_TEXTS - 1), [0] * MOST_VALUES):
        raw = orjson.dumps({"a": value})
        assert loads(raw) == {"a": value}
        with pytest.raises(TooManyValues):
            loads(orjson.dumps({"a": [*value, value[0]], "b": [value[0]]}))


def test_short_bodies_are_read_without_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_json, "containers", lambda _: pytest.fail("it was counted"))
    assert requests.parsed(chat()) == orjson.loads(chat())


JSON = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(st.sampled_from('a"\\[{,中\n')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.sampled_from('b"\\]}')), inner),
)


def containers_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + sum(map(containers_of, inside))


@given(JSON)
def test_the_count_is_exact_where_it_decides(value: Any) -> None:
    """No text can hide a list, and none is taken for one."""
    raw, count = orjson.dumps(value), containers_of(value)
    assert containers(raw, count) >= count
    if count:
        with pytest.raises(TooManyValues):
            containers(raw, count - 1)


def test_what_is_stored_has_few_levels() -> None:
    nested = [b"[" * levels + b"]" * levels for levels in (MOST_LEVELS, MOST_LEVELS + 1, 1_000)]
    assert orjson.dumps(shallow(nested[0])) == nested[0]
    for raw in nested[1:]:
        with pytest.raises(ValueError, match="64 levels"):
            shallow(raw)
    assert len(shallow(orjson.dumps([{"a": [1]}] * 100))) == 100
