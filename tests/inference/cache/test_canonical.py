"""Which requests have one name, and which have not."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.cache import canonical
from inference.cache.canonical import is_deterministic, name_of
from inference.engine_entries import EngineEntry

pytestmark = pytest.mark.unit
ACME, GLOBEX = UUID(int=1), UUID(int=2)
HI = [{"role": "user", "content": "hi"}]
PLAIN: dict[str, Any] = {"model": "m", "messages": HI, "temperature": 0}
ENGINE = {"kind": "openai", "url": "http://127.0.0.1:9/v1"}


def name(body: dict[str, Any] = PLAIN, tenant: UUID = ACME, epoch: int = 0, **more: Any) -> bytes:
    return name_of(tenant, epoch, "m", {**body, **more}, chat=True)


@pytest.mark.parametrize(
    "same",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"temperature": 0.0},
        {
            "top_p": 1,
            "frequency_penalty": 0.0,
            "n": 1,
            "stop": None,
            "tools": [],
            "logprobs": False,
        },
        {"response_format": {"type": "text"}},
        {"user": "somebody"},
    ],
)
def test_what_makes_no_other_answer_makes_no_other_name(same: dict[str, Any]) -> None:
    assert name(**same) == name()


def test_neither_order_nor_blanks_matter() -> None:
    text = b'{ "temperature":0,\n "messages":[{"content":"hi","role":"user"}], "model":"m" }'
    assert name(orjson.loads(text)) == name()
    assert name(stop="x", max_tokens=5.0) == name(max_tokens=5, stop=["x"])


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [{"role": "user", "content": "hi "}]},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"temperature": 1},
        {"max_tokens": 5},
        {"seed": 0},
        {"top_p": 0.5},
        {"logprobs": True},
        {"logprobs": 0},
        {"tool_choice": "none"},
        {"n": 2},
        {"top_logprobs": 2, "logprobs": True},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"seed": 1.5},
        {"what_nobody_knows": 1},
    ],
)
def test_what_may_make_another_answer_has_another_name(other: dict[str, Any]) -> None:
    assert name(**other) != name()


def test_the_order_of_a_schemas_fields_matters() -> None:
    """An engine writes the fields of its object in that order."""

    def asked(*fields: str) -> bytes:
        schema = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        return name(response_format=form)

    assert asked("a", "b") != asked("b", "a")


def test_each_tenant_and_each_purge_has_names_of_its_own() -> None:
    names = {name(), name(tenant=GLOBEX), name(epoch=1), name_of(ACME, 0, "m", PLAIN, chat=False)}
    assert len(names) == 4


def test_another_version_of_the_model_has_other_names(settings: Settings) -> None:
    def served(**changes: Any) -> bytes:
        settings.ENGINES = {"m": {**ENGINE, **changes}}
        engines.forget()
        return name()

    before = served()
    assert served(slots=3, api_key="sk-x") == before
    assert len({before, served(model="m-2"), served(url="http://127.0.0.1:8/v1")}) == 3
    settings.ENGINES = {"other": ENGINE, "m": ENGINE}
    engines.forget()
    assert name() == before
    engines.forget()


def test_a_server_with_other_adapters_has_the_answers_of_the_one_before() -> None:
    launch = {"kind": "llama_cpp", "url": "http://127.0.0.1:1/v1", "launch": {"model": "m.gguf"}}
    before = EngineEntry("m", "here", "gpu-1", {**launch, "version": "a"})
    fields = {**launch, "url": "http://127.0.0.1:2/v1", "version": "v2", "adapters": ["x"]}

    def version(*entries: EngineEntry) -> bytes:
        in_force = SimpleNamespace(entries=entries)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engines, "in_force", lambda: in_force)
            return canonical.version_of("m")

    same_as = {"same_as": {"version": "v2", "of": "a"}}
    after = EngineEntry("m", "here", "gpu-1.v2", {**fields, **same_as}, seat="gpu-1")
    alone = version(before)
    assert version(replace(before, draining=True), after) == version(after) == alone
    differences: list[dict[str, Any]] = [
        {"launch": {"model": "n.gguf"}},
        {"version": "v3"},
        {"same_as": {}},
    ]
    for changes in differences:
        other = replace(after, fields={**after.fields, **changes})
        assert version(other) != alone, "a new version of the model is another one"
    assert version(replace(before, draining=True)) != alone


def test_only_what_would_be_the_same_again_is_kept() -> None:
    assert is_deterministic({"temperature": 0})
    assert is_deterministic({"temperature": 0.7, "seed": 0})
    assert not is_deterministic({})
    assert not is_deterministic({"temperature": 0.1})
    assert not is_deterministic({"seed": None})
