"""Aliases over the management API and on their page: set, changed, removed, and refused."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.engine_entries import EngineEntry
from inference.models import ModelAlias, model_alias
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/aliases/"
FIELDS = {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    settings.ENGINES = {"large": FIELDS, "small": FIELDS}
    engines.forget()
    yield
    engines.forget()


def created(api: Api, name: str = "claude-sonnet-4-5", model: str = "large") -> str:
    """Its path."""
    answer = api.post(LIST, name=name, model=model)
    assert answer.status_code == 201, answer.content
    return str(answer.headers["Location"])


def test_it_is_created_changed_and_removed_and_each_act_is_on_record(
    api: Api, acme: Tenant
) -> None:
    path = created(api)
    shown = api.get(path)
    assert (shown.json()["model"], shown.json()["state"]) == ("large", "serves")
    changed = api.patch(path, shown.headers["ETag"], model="small")
    assert (changed.status_code, changed.json()["model"]) == (200, "small")
    assert [row["name"] for row in api.get(LIST).json()["results"]] == ["claude-sonnet-4-5"]
    assert api.get(f"{LIST}?name=nothing").json()["results"] == []
    assert api.delete(path, changed.headers["ETag"]).status_code == 204
    assert api.get(path).status_code == 404
    events = Event.objects.filter(action__startswith="alias:").order_by("id")
    named = {"alias": "claude-sonnet-4-5"}
    assert [(event.action, event.detail) for event in events] == [
        ("alias:create", {**named, "model": "large"}),
        ("alias:change", {**named, "model": "small", "before": "large"}),
        ("alias:remove", {**named, "model": "small"}),
    ]
    assert {event.tenant_id for event in events} == {acme.pk}


@pytest.mark.parametrize(
    ("name", "model", "field"),
    [
        ("sonnet", "nowhere", "model"),
        ("small", "large", "name"),  # a served model has the name
        ("no blanks", "large", "name"),
        ("-dash", "large", "name"),
        ("a\nb", "large", "name"),
        ("中", "large", "name"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(
    api: Api, name: str, model: str, field: str
) -> None:
    assert errors(api.post(LIST, name=name, model=model)).keys() == {field}
    assert not ModelAlias.objects.exists()


@pytest.mark.parametrize("name", ["claude-opus-4-5", "openai/gpt-5", "qwen3:8b", "o3+tools@1"])
def test_names_as_clients_have_them_are_taken(api: Api, name: str) -> None:
    created(api, name)


def test_an_alias_is_no_model_for_another_one(api: Api) -> None:
    created(api, "sonnet")
    assert errors(api.post(LIST, name="opus", model="sonnet")).keys() == {"model"}


def test_a_name_is_taken_once_and_there_are_not_too_many(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(api, "sonnet")
    assert api.post(LIST, name="sonnet", model="small").status_code == 409
    monkeypatch.setattr(model_alias, "MOST", 1)
    assert "at most 1" in api.post(LIST, name="opus", model="small").content.decode()


def test_a_model_of_another_tenant_does_not_exist(api: Api, globex: Tenant) -> None:
    entries = [
        EngineEntry("own", "own", "own", FIELDS, only_for=globex.pk),
        EngineEntry("large", "large", "large", FIELDS),
    ]
    engines.put_in_force(entries)
    nowhere = errors(api.post(LIST, name="sonnet", model="nowhere"))
    assert errors(api.post(LIST, name="sonnet", model="own")) == nowhere
    created(api, "own")  # nor does its name keep an alias away


def test_its_state_says_what_became_of_its_model(api: Api) -> None:
    path = created(api, "sonnet")
    engines.put_in_force([EngineEntry("small", "small", "small", FIELDS)])
    assert api.get(path).json()["state"] == "model_missing"
    names = ("large", "sonnet")
    engines.put_in_force([EngineEntry(name, name, name, FIELDS) for name in names])
    assert api.get(path).json()["state"] == "name_served"


def test_people_do_the_same_on_the_page(alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    page = "/console/t/acme/aliases/"
    fields = {"name": "sonnet", "model": "large"}
    assert client.post(f"{page}addition/", fields).status_code == 302
    alias = ModelAlias.objects.get()
    assert "sonnet" in client.get(page).content.decode()
    assert client.post(f"{page}{alias.pk}/change/", {"model": "small"}).status_code == 302
    alias.refresh_from_db()
    assert alias.model == "small"
    refused = client.post(f"{page}{alias.pk}/change/", {"model": "nowhere"})
    assert "There is no such model." in refused.content.decode()
    assert client.post(f"{page}{alias.pk}/removal/").status_code == 302
    assert not ModelAlias.objects.exists()
