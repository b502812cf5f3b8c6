"""A new version of an engine over the API: begun, shown, cancelled, rolled back. By operators."""

from typing import Any

import pytest

from audit.models import Event
from inference.models import Engine, Model, Pool, Replacement
from tenants.models import User
from tests.console.api.conftest import Api, Enter, errors

pytestmark = pytest.mark.django_db
URL = "http://gpu-1:8000/v1"
OTHER = "http://gpu-2:8000/v1"


@pytest.fixture
def api(operator: User, enter: Enter) -> Api:
    return enter(operator)


@pytest.fixture
def engine() -> Engine:
    pool = Pool.add(Model.add("large", by="test"), "here", by="test")
    options = {"model": "first", "context_length": 100}
    return Engine.add(pool, "gpu-1", by="test", kind="vllm", url=URL, slots=4, options=options)


@pytest.fixture
def begun(api: Api, engine: Engine) -> Any:
    def begin(**given: Any) -> Any:
        return api.post(f"engines/{engine.pk}/replace/", **{"url": OTHER, **given})

    return begin


def test_a_new_version_is_as_the_old_one_but_for_what_is_said(api: Api, begun: Any) -> None:
    options = {"model": "second", "context_length": None}
    made = begun(version="2026-01", options=options, keeps_old=True, warm_ups=7)
    assert made.status_code == 201, made.json()
    found = made.json()
    assert (found["old"], found["new"], found["step"]) == ("gpu-1", "gpu-1.2026-01", "loading")
    new = api.get(f"engines/{found['new_id']}/").json()
    assert (new["url"], new["kind"], new["slots"], new["state"]) == (OTHER, "vllm", 4, "loading")
    assert new["options"] == {"model": "second", "version": "2026-01"}
    assert Replacement.objects.get().warm_ups == 7
    assert api.get(f"replacements/{found['id']}/").json() == found
    assert api.get("replacements/", old="gpu-1").json()["results"] == [found]
    event = Event.objects.filter(action="engine:replace").get()
    assert event.detail == {"name": "gpu-1", "new": "gpu-1.2026-01", "pool": "here"}
    assert event.actor.startswith("operator:")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "parrot"),
        ("url", "gpu-1:8000"),
        ("version", "two words"),
        ("name", "gpu-1"),
        ("options", {"solts": 4}),
        ("options", {"context_length": "long"}),
        ("warm_ups", 1000),
        ("load_within_s", 0),
        ("keeps_old", "yes"),
    ],
)
def test_a_fault_is_told_with_its_field(begun: Any, field: str, value: Any) -> None:
    refused = begun(**{field: value})
    assert (refused.status_code, list(errors(refused))) == (400, [field])
    assert not Replacement.objects.exists()


def test_only_one_at_a_time(api: Api, begun: Any) -> None:
    found = begun().json()
    assert begun(name="other").status_code == 400
    assert api.post(f"replacements/{found['id']}/cancel/").json()["step"] == "cancelled"
    assert api.post(f"replacements/{found['id']}/cancel/").status_code == 400
    assert begun().status_code == 201


def test_a_rollback_while_the_old_one_is_there(api: Api, begun: Any) -> None:
    found = f"replacements/{begun().json()['id']}/"
    assert api.post(f"{found}rollback/").status_code == 400
    Replacement.objects.get().switch(by="test")
    assert api.get(found).json()["step"] == "switched"
    assert api.post(f"{found}rollback/").json()["step"] == "rolling_back"
    assert [e.name for e in Engine.objects.filter(draining=False)] == ["gpu-1"]


def test_an_engine_that_has_changed_since_it_was_read(api: Api, engine: Engine) -> None:
    path = f"engines/{engine.pk}/"
    tag = api.get(path).headers["ETag"]
    engine.change(by="test", slots=2)
    sent = {"url": OTHER}
    assert api.send("post", f"{path}replace/", sent, {"If-Match": tag}).status_code == 412
    tag = api.get(path).headers["ETag"]
    assert api.send("post", f"{path}replace/", sent, {"If-Match": tag}).status_code == 201
