"""Adapters over the management API: created, promoted past gates, rolled back, removed."""

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.engine_entries import EngineEntry
from inference.model_registry import gates
from inference.models import Adapter, AdapterPromotion, Engine, Model, Pool
from tenants.models import Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.inference.adapters.rows import a_version, an_adapter, serve

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/adapters/"


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    settings.ENGINES = {"large": {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    yield
    engines.forget()


def created(api: Api, name: str = "support") -> str:
    """Its path."""
    answer = api.post(LIST, base="large", name=name)
    assert answer.status_code == 201, answer.content
    return str(answer.headers["Location"])


def test_it_is_created_promoted_and_rolled_back(api: Api, acme: Tenant) -> None:
    path = created(api)
    one, two = a_version(acme, 1), a_version(acme, 2)
    for version in (one, two):
        assert api.post(f"{path}promote/", version=str(version.pk)).json()["step"] == "loading"
        assert api.get(path).json()["loading"] == str(version)
        AdapterPromotion.objects.loading().get().serve(by="test")
    assert api.get(path).json()["version"] == "tuned@2"
    back = api.post(f"{path}rollback/").json()
    assert (back["version"], back["is_rollback"]) == ("tuned@1", True)
    assert api.post(f"{path}cancel/").json()["step"] == "cancelled"
    history = api.get(f"{path}promotions/").json()["results"]
    assert [row["step"] for row in history] == ["cancelled", "serving", "replaced"]
    (line,) = api.get(LIST).json()["results"]
    assert (line["model"], line["version"]) == ("large:support", "tuned@2")
    assert api.get(f"{path}usage/").json() == {"days": 30, "versions": []}


def test_what_cannot_be_is_refused_with_the_reason(
    api: Api, acme: Tenant, settings: Settings
) -> None:
    path, version = created(api), a_version(acme)
    assert errors(api.post(LIST, base="nowhere", name="support")).keys() == {"base"}
    assert errors(api.post(LIST, base="large", name="Not So")).keys() == {"name"}
    settings.ADAPTERS_PER_TENANT = 1
    assert "at most 1" in api.post(LIST, base="large", name="second").content.decode()
    globex = Tenant.open("globex", by="test")
    for other in (a_version(globex), a_version(acme, 2, kind="full")):
        assert errors(api.post(f"{path}promote/", version=str(other.pk))).keys() == {"version"}
    assert api.post(f"{path}rollback/").status_code == 400
    assert api.post(f"{path}promote/", version=str(version.pk)).status_code == 200
    second = api.post(f"{path}promote/", version=str(version.pk))
    assert (second.status_code, "is being loaded" in second.content.decode()) == (400, True)


def test_a_gate_of_the_bases_pools_refuses_and_that_is_on_record(
    api: Api, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, version = created(api), a_version(acme)
    pool = Pool.add(Model.add("large", by="test"), "here", by="test")
    Engine.add(pool, "gpu-1", by="test", kind="vllm", url="http://127.0.0.1:9/v1")
    monkeypatch.setattr(gates, "_gates", {"test": lambda version, engine: ["it knows less"]})
    refused = api.post(f"{path}promote/", version=str(version.pk))
    assert errors(refused) == {"version": ["it knows less"]}
    assert not AdapterPromotion.objects.exists()
    event = Event.objects.get(action="adapter:refuse")
    assert event.detail["reasons"] == ["it knows less"]
    assert event.tenant_id == acme.pk


def test_a_mark_shows_and_a_removed_one_is_gone(api: Api, acme: Tenant) -> None:
    adapter, version = an_adapter(acme, "large"), a_version(acme)
    serve(adapter, version)
    version.mark("trained on erased data", by="test")
    path = f"{LIST}{adapter.pk}/"
    shown = api.get(path)
    assert shown.json()["marked"] == "trained on erased data"
    assert api.delete(path, shown.headers["ETag"]).status_code == 204
    assert api.get(path).status_code == 404
    assert Adapter.objects.get().removed_at
    assert created(api) != path  # the name is free again


def test_a_base_of_another_tenant_does_not_exist(
    api: Api, acme: Tenant, globex: Tenant, settings: Settings
) -> None:
    """Else its adapters would be loaded into the engines of somebody else's model."""
    fields = {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}
    entries = [
        EngineEntry("own", "own", "own", fields, only_for=globex.pk),
        EngineEntry("large", "large", "large", fields),
    ]
    engines.put_in_force(entries)
    nowhere = errors(api.post(LIST, base="nowhere", name="support"))
    assert errors(api.post(LIST, base="own", name="support")) == nowhere
    path, version = created(api), a_version(acme)
    entries[1] = EngineEntry("large", "large", "large", fields, only_for=globex.pk)
    engines.put_in_force(entries)  # the operator gives the model to somebody else
    assert api.post(f"{path}promote/", version=str(version.pk)).status_code == 400
    assert not AdapterPromotion.objects.exists()
