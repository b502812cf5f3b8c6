"""A body that is longer than its model's context is refused before anybody parses it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference import engines
from inference.errors import BadRequest
from inference.intake.limits.body_length import MOST_FIELDS, check
from inference.validation.bounded_json import LIGHT
from inference.validation.requests import LONGEST_TOKEN
from tests.inference.callers import CALLER

pytestmark = pytest.mark.unit
SMALL, LARGE = 2_000, 20_000  # tokens of context
MUCH = "x" * (SMALL * LONGEST_TOKEN)
MORE = "x" * (LARGE * LONGEST_TOKEN)


@pytest.fixture(autouse=True)
def served(settings: Settings) -> Iterator[None]:
    url = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {
        "small": {**url, "context_length": SMALL},
        "org/large": {**url, "context_length": LARGE},
    }
    engines.forget()
    yield
    engines.forget()


def chat(content: Any, model: str = "small", **fields: Any) -> bytes:
    messages = [{"role": "user", "content": content}]
    return orjson.dumps({"model": model, "messages": messages, **fields})


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (chat(MUCH), "messages"),
        (chat(MORE, "org/large"), "messages"),
        (chat("hi", user=MUCH), "messages"),
        (b'{"model" :\n"small","prompt": "' + MUCH.encode() + b'"}', "prompt"),
        (b'{"model":"small","a":' + b"[" * len(MUCH), "prompt"),  # which is no JSON at all
        (chat('"model":"none" \u00e9' + MUCH), "messages"),
    ],
)
def test_what_fits_no_context_is_refused_unread(raw: bytes, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check(CALLER, raw)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", param)


def test_the_model_of_a_path_goes_before_that_of_the_body() -> None:
    check(CALLER, chat(MUCH), "org/large")
    with pytest.raises(BadRequest):
        check(CALLER, chat(MUCH, "org/large"), "small")


IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + MUCH}}]


@pytest.mark.parametrize(
    "raw",
    [
        chat(MUCH[: -LIGHT // 2]),
        chat(MUCH, "org/large"),
        json.dumps({"model": "org/large", "prompt": MUCH}).replace("/", "\\/").encode(),
        b'{"mode\\u006c":"org/large","metadata":{"model":"small"},"prompt":"' + MUCH.encode(),
        b'{"model":"org/large","metadata":{"model":"small"},"prompt":"' + MUCH.encode(),
        b'{"metadata":{"model":"small"},"model":5,"prompt":"' + MUCH.encode(),
        b"{" + b'"model":"small",' * MOST_FIELDS + b'"model":"org/large","a":"' + MUCH.encode(),
        chat(IMAGE),
        chat("hi", template="greeting", variables={"text": MUCH}),
        b'{"model":"small","prompt":[' + b" " * len(MUCH) + b"1]}",
        chat(MUCH, "none"),
        orjson.dumps({"prompt": MUCH}),
    ],
)
def test_what_may_fit_is_left_to_its_parser(raw: bytes) -> None:
    check(CALLER, raw)


def test_nobody_learns_the_context_of_a_model_that_is_hidden_from_them() -> None:
    check(replace(CALLER, allowed_models=frozenset({"org/large"})), chat(MUCH))


KEYS = st.sampled_from(["model", "prompt", 'a"model', "image_url", "x"])
VALUES = st.recursive(
    st.sampled_from(["small", "org/large", "none", "model", '"model":"small"', 5, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES), st.booleans())
def test_no_body_is_refused_that_its_own_model_would_take(body: Any, is_spaced: bool) -> None:
    body = {**body, "model": "org/large", "x": MUCH}
    raw = json.dumps(body, indent=1).encode() if is_spaced else orjson.dumps(body)
    check(CALLER, raw)
