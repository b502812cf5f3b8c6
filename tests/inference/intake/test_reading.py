"""Whatever is checked of a body is checked where it is read: no front end can leave it out."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.errors import BadRequest
from inference.intake.access.allowed import NoSuchModel
from inference.intake.submission import Arrival, Options, Submission, read
from inference.validation.requests import Form
from tests.inference.callers import CALLER

pytestmark = pytest.mark.unit
CHAT = {"model": "small", "messages": [{"role": "user", "content": "Hi"}]}
TEXT = {"model": "small", "prompt": "Hi"}
BODIES: dict[Form, dict[str, Any]] = {
    Form.CHAT: CHAT,
    Form.EMBEDDINGS: {"model": "small", "input": "Hi"},
    Form.RERANK: {"model": "small", "query": "Hi", "documents": ["Hi"]},
}


@pytest.fixture(autouse=True)
def served(settings: Settings) -> Iterator[None]:
    url = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {"small": {**url, "context_length": 100}, "hosted": {**url, "hosted": True}}
    engines.forget()
    yield
    engines.forget()


def submission(form: Form, body: dict[str, Any], length: int = 50, **more: Any) -> Submission:
    return read(CALLER, dict(body), length, form, Arrival("/v1", "198.51.100.7"), Options(**more))


@pytest.mark.parametrize("form", Form)
def test_more_than_any_model_reads_is_refused(form: Form) -> None:
    with pytest.raises(BadRequest) as refused:
        long = {"input": "x" * 10_000, "query": "x" * 10_000} if form.task else {}
        body = BODIES.get(form, TEXT)
        submission(form, {**body, **{name: long[name] for name in long if name in body}}, 10_000)
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize("form", Form)
def test_a_model_that_there_is_not_is_refused(form: Form) -> None:
    with pytest.raises(NoSuchModel):
        submission(form, {**BODIES.get(form, TEXT), "model": "none"})


@pytest.mark.parametrize("form", Form)
def test_a_field_that_is_not_known_is_refused(form: Form) -> None:
    with pytest.raises(BadRequest) as refused:
        submission(form, {**BODIES.get(form, TEXT), "tempratur": 1})
    assert refused.value.param == "tempratur"


def test_a_plain_call_without_a_name_is_for_the_first_model() -> None:
    found = submission(Form.PLAIN, {"prompt": "Hi", "stop_words": ["."]})
    assert (found.engine.config.name, found.chat) == ("small", False)
    assert orjson.loads(found.body)["stop"] == ["."]


def test_one_that_makes_no_text_is_not_the_first(settings: Settings) -> None:
    vectors = {**settings.ENGINES["small"], "capabilities": {"text": False}}
    settings.ENGINES = {"vectors": vectors, **settings.ENGINES}
    engines.forget()
    assert submission(Form.PLAIN, {"prompt": "Hi"}).engine.config.name == "small"
    with pytest.raises(BadRequest, match="makes no text"):
        submission(Form.PLAIN, {"prompt": "Hi", "model": "vectors"})


def test_what_is_streamed_comes_with_its_usage() -> None:
    found = submission(Form.PLAIN, TEXT, streamed=True)
    assert found.stream
    assert found.include_usage
    assert not submission(Form.PLAIN, TEXT).stream


def test_a_class_of_work_is_asked_for_by_its_name() -> None:
    assert submission(Form.CHAT, CHAT).klass == "realtime"
    assert submission(Form.CHAT, CHAT, klass="batch").klass == "batch"


def test_moderation_is_refused_where_a_pool_of_the_model_would_leave_it_out(
    settings: Settings,
) -> None:
    openai = {"kind": "openai", "url": "https://api.openai.com/v1", "hosted": True}
    here = {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}
    settings.ENGINES = {
        "alone": openai,
        "mixed": {"pools": {"far": openai, "near": {**here, "condition": "failover"}}},
    }
    engines.forget()
    fields = {**CHAT, "moderation": {"model": "omni-moderation-latest"}}
    assert b"omni-moderation" in submission(Form.CHAT, {**fields, "model": "alone"}).body
    with pytest.raises(BadRequest, match="every pool") as refused:
        submission(Form.CHAT, {**fields, "model": "mixed"})
    assert refused.value.param == "moderation"
