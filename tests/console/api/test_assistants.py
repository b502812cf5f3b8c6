"""Assistants over the management API."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from inference import engines
from inference.api.assistants import trying
from inference.api.assistants.trying import Trial
from inference.api.deferred import Refused, Wait
from inference.assistants.understanding import Classifier, Prediction
from inference.models import Assistant
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.inference.assistants.rows import furnish
from tests.inference.assistants.shop import SPEC_JSON

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/assistants/"
CLASSIFIER = Classifier("minilm", ["track", "refund"], [[1.0], [-1.0]], [0.0, 0.0])


@pytest.fixture(autouse=True)
def _models(settings: Settings, acme: Tenant) -> Iterator[None]:
    furnish(acme)
    settings.ENGINES = {"minilm": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    yield
    engines.forget()


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


def written(api: Api) -> str:
    """Its path."""
    answer = api.post(LIST, name="shop", spec=SPEC_JSON)
    assert answer.status_code == 201, answer.content
    return str(answer.headers["Location"])


def built() -> None:
    version = Assistant.objects.get().versions.get()
    assert version.begin_build()
    version.complete_build(CLASSIFIER, {"right": 0.9}, "")


def test_it_is_written_and_read(api: Api) -> None:
    path = written(api)
    (line,) = api.get(LIST, name="shop").json()["results"]
    assert (line["name"], line["latest"], line["live"]) == ("shop", 1, None)
    version = api.get(f"{path}versions/1/").json()
    assert version["spec"] == SPEC_JSON
    assert (version["build"], version["state"], version["examples"]) == ("queued", "draft", 48)
    spec = {**SPEC_JSON, "tone": "formal"}
    answer = api.post(f"{path}versions/", spec=spec)
    assert (answer.status_code, answer.json()["number"]) == (201, 2)
    assert [line["number"] for line in api.get(f"{path}versions/").json()["results"]] == [1, 2]
    assert api.post(LIST, name="shop", spec=SPEC_JSON).status_code == 409


def test_faults_are_told_by_their_paths(api: Api) -> None:
    spec = {**SPEC_JSON, "sure": 7, "most_turns": 0}
    assert errors(api.post(LIST, name="shop", spec=spec)).keys() == {"spec.sure", "spec.most_turns"}
    assert errors(api.post(LIST, name="shop", spec={**SPEC_JSON, "sure": "x"})).keys() == {
        "spec.sure"
    }
    wrong_types: list[Any] = [[], 7, "text", {}]
    for wrong in wrong_types:
        assert errors(api.post(LIST, name="shop", spec=wrong)).keys() == {"spec"}
    answer = api.post(LIST, name="shop", spec={**SPEC_JSON, "embedding_model": "gone"})
    assert errors(answer).keys() == {"spec.embedding_model"}


def test_people_review_what_a_key_has_written(api: Api, enter: Enter, alice: Member) -> None:
    path = written(api)
    version = f"{path}versions/1/"
    assert api.post(f"{version}submit/").status_code == 400, "not built"
    built()
    assert api.post(f"{version}submit/").json()["state"] == "in_review"
    assert api.post(f"{version}approve/").status_code == 403
    person = enter(alice)
    assert errors(person.post(f"{version}send-back/")).keys() == {"reason"}
    answer = person.post(f"{version}send-back/", reason="It promises too much.")
    assert answer.json()["state"] == "draft"
    assert api.get(version).json()["return_reason"] == "It promises too much."
    api.post(f"{version}submit/")
    assert person.post(f"{version}approve/").json()["state"] == "approved"
    assert api.post(f"{version}promote/").status_code == 200
    assert api.get(path).json()["live"] == 1
    assert errors(api.post(f"{version}challenge/", share=0.2))
    assert api.post(f"{path}unchallenge/").json()["challenger"] is None
    assert api.post(f"{path}rollback/").status_code == 400
    assert api.post(f"{path}stop/").json()["live"] is None
    assert api.delete(path).status_code == 400, "it has answered"
    assert api.post(f"{version}rebuild/").json()["build"] == "queued"


def test_one_that_never_answered_is_removed(api: Api) -> None:
    path = written(api)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


def test_a_sentence_is_tried(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = f"{written(api)}versions/1/attempt/"
    trial = Trial([Prediction("track", 0.9)], True, {"order": "AB-1234"})
    monkeypatch.setattr(trying, "try_now", lambda version, caller, text: trial)
    assert api.post(attempt, text="where is AB-1234").json() == {
        "predictions": [{"intent": "track", "probability": 0.9}],
        "is_sure": True,
        "slots": {"order": "AB-1234"},
    }
    for problem, status in ((Refused("not_built"), 409), (Wait(1), 503), (TimeoutError(), 503)):

        def fail(*_arguments: Any, problem: Exception = problem) -> Trial:
            raise problem

        monkeypatch.setattr(trying, "try_now", fail)
        assert api.post(attempt, text="where is AB-1234").status_code == status


def test_those_of_another_tenant_are_not_there(api: Api, globex: Tenant, with_key: Enter) -> None:
    path = written(api)
    stranger = with_key(globex, ["management:read", "management:write"])
    own = path.replace("/acme/", "/globex/")
    assert stranger.get(own).status_code == 404
    assert stranger.get(path).status_code in (403, 404)
