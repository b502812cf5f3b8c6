"""A model is added in one form, after a test of the connection to its engine."""

from typing import Any

import pytest
from django.core.cache import caches
from django.test import Client

from audit.actions import Action
from audit.models import Event
from console.serving import addition
from inference.models import Engine, Model, Pool
from inference.queue.limits import limits_of
from inference.registry.connection import ListedModel, Problem, Report
from tenants.models import Member, User
from tests.console.conftest import SignIn
from tests.console.serving.conftest import URL, changed

ADDITION = "/console/models/addition/"
TEST = f"{ADDITION}test/"
FORM = {
    "kind": "vllm",
    "url": URL,
    "slots": "auto",
    "api_key": "sk-secret",
    "name": "large",
    "model": "org/large",
    "context_length": "32768",
    "capabilities": ["tools"],
    "condition": "always",
    "waiting": "100",
    "wait_s": "30",
}
REPORT = Report(
    models=(ListedModel("org/large", 32768), ListedModel("other")),
    model="org/large",
    context_length=32768,
    slots=256,
    capabilities={"tools": True, "images": False},
    took_ms=12,
)


@pytest.fixture(autouse=True)
def _fresh_count(operator: User) -> None:
    caches["default"].delete(f"connection-test:{operator.pk}")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Sets the result of the next test of a connection; then what it was called with."""
    calls: list[Any] = [REPORT]

    async def examine(fields: Any, model: str) -> Report:
        calls.append((fields, model))
        outcome: Report = calls[0]
        return outcome

    monkeypatch.setattr(addition, "examine", examine)
    return calls


def test_without_bounds_a_pool_has_those_of_the_installation_and_the_form_says_so(
    client: Client,
) -> None:
    page = client.get(ADDITION).content.decode()
    assert "no limit" not in page
    assert page.count("Empty: as the installation says.") == 2
    client.post(ADDITION, {**FORM, "waiting": "", "wait_s": ""})
    bounds = limits_of(Pool.objects.get().policy, "realtime")
    assert (bounds["waiting"], bounds["wait_s"]) == (5000, 120)


def test_one_form_adds_model_pool_and_engine(client: Client, operator: User) -> None:
    answer = client.post(ADDITION, FORM, follow=True)
    assert "The model large has been added." in answer.content.decode()
    engine = Engine.objects.select_related("pool__model").get()
    assert (engine.pool.model.name, engine.pool.name, engine.name) == ("large",) * 3
    assert (engine.kind, engine.url, engine.auto_slots) == ("vllm", URL, True)
    assert engine.options == {
        "model": "org/large",
        "context_length": 32768,
        "capabilities": {"tools": True},
    }
    assert engine.pool.limits == {"realtime": {"waiting": 100, "wait_s": 30}}
    assert engine.api_key.startswith("sealed:")
    actors = Event.objects.filter(action__in=["model:add", "pool:add", "engine:add"])
    assert list(actors.values_list("actor", flat=True)) == [operator.actor] * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://gpu"),
        ("url", ""),
        ("url", "http://169.254.169.254/v1"),
        ("name", "two words"),
        ("name", ""),
        ("context_length", "0"),
        ("slots", "none"),
        ("overflow_after_ms", "-1"),
        ("wait_s", "0"),
        ("options", "[]"),
    ],
)
def test_an_error_stands_beside_its_field_and_nothing_is_added(
    client: Client, field: str, value: str
) -> None:
    answer = client.post(ADDITION, {**FORM, field: value})
    assert list(answer.context["form"].errors) == [field]
    assert not Model.objects.exists()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("name", "field"), [("large", "name"), ("here", "pool"), ("gpu-1", "pool")]
)
def test_names_are_taken_once(client: Client, name: str, field: str) -> None:
    answer = client.post(ADDITION, {**FORM, "name": name})
    assert list(answer.context["form"].errors) == [field]
    assert (Model.objects.count(), Pool.objects.count()) == (1, 1)


def test_the_test_says_what_the_engine_serves(
    client: Client, operator: User, report: list[Any]
) -> None:
    found = client.post(TEST, FORM).content.decode()
    for text in ("It answers (12 ms)", "32,768 tokens", "Slots: 256", "tools: yes", "images: no"):
        assert text in found
    fields, model = report[1]
    assert model == "org/large"
    assert fields == {"kind": "vllm", "url": URL, "api_key": "sk-secret", "hosted": False}
    event = Event.objects.get(action=Action.ENGINE_TEST)
    assert (event.actor, event.detail["host"], event.detail["outcome"]) == (
        operator.actor,
        "gpu-1",
        "ok",
    )
    assert "sk-secret" not in found + str(event.detail)


@pytest.mark.parametrize("problem", Problem)
def test_each_problem_has_words(client: Client, report: list[Any], problem: Problem) -> None:
    detail = "an engine's address must not be link-local, multicast or a metadata service's"
    report[0] = Report(problem, detail, better_url="http://gpu-1/v1")
    found = client.post(TEST, FORM).content.decode()
    assert 'role="alert"' in found
    assert "It answers" not in found


def test_tests_are_bounded_and_need_an_address(client: Client, report: list[Any]) -> None:
    assert "Enter an address" in client.post(TEST, {**FORM, "url": "gpu-1"}).content.decode()
    assert "It answers" in client.post(TEST, FORM).content.decode()
    assert "Wait a few seconds" in client.post(TEST, FORM).content.decode()
    assert len(report) == 2


def test_operators_alone_test_and_add(alice: Member, sign_in: SignIn, report: list[Any]) -> None:
    client = sign_in(alice)
    assert client.get(ADDITION).status_code == 403
    for path in (ADDITION, TEST):
        assert client.post(path, FORM).status_code == 403
    assert len(report) == 1


def test_options_are_fields_and_what_has_none_stays_json(client: Client, engine: Engine) -> None:
    options = {"context_length": 4096, "gpus": [0], "capabilities": {"images": False}}
    engine.change(by="test", options=options)
    form = client.get(f"/console/pools/engines/{engine.pk}/").context["form"]
    assert form["context_length"].value() == 4096
    assert form.initial["options"] == {"gpus": [0], "capabilities": {"images": False}}
    changed(client, engine, url=URL, slots="4", context_length="8192", options='{"gpus": [1]}')
    engine.refresh_from_db()
    assert engine.options == {"context_length": 8192, "gpus": [1]}
