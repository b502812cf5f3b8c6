"""Decision policies over the management API: written, reviewed, promoted, rolled back."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.decisions.spec import as_json
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.models import Member, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.inference.decisions.specs import payments

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/decision-policies/"
SPEC = as_json(payments())


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    pool = {"kind": "vllm", "url": "http://127.0.0.1:9/v1", "version": "v1"}
    settings.ENGINES = {"deepseek-r1": pool}
    engines.forget()
    yield
    engines.forget()


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


def created(api: Api, **fields: Any) -> str:
    """Returns its path."""
    answer = api.post(LIST, name="payments", spec={**SPEC, **fields})
    assert answer.status_code == 201, answer.content
    return str(answer.headers["Location"])


def approved(api: Api, alice: Member, path: str, number: int) -> None:
    answer = api.post(f"{path}versions/{number}/submit/")
    assert (answer.status_code, answer.json()["state"]) == (200, "trial")
    version = DecisionPolicyVersion.objects.get(number=number)
    version.pass_trial({"score": 0.4, "both_labels": True})
    version.approve(by=alice.actor)


def test_a_version_is_written_reviewed_and_promoted(api: Api, alice: Member, enter: Enter) -> None:
    path = created(api)
    assert api.post(f"{path}versions/1/submit/").json()["trial"] == {}
    DecisionPolicyVersion.objects.get().pass_trial({"score": 0.4, "both_labels": True})
    refused = api.post(f"{path}versions/1/approve/")
    assert refused.status_code == 403  # a key approves nothing
    approval = enter(alice).post(f"{path}versions/1/approve/")
    assert (approval.status_code, approval.json()["reviewed_by"]) == (200, alice.actor)
    promoted = api.post(f"{path}promote/", version=1)
    assert (promoted.status_code, promoted.json()["champion"]) == (200, 1)
    shown = api.get(f"{path}versions/1/").json()
    assert shown["spec"] == {**SPEC, "model_version": "v1"}
    assert (shown["state"], shown["model_version"]) == ("approved", "v1")
    (line,) = api.get(f"{path}versions/").json()["results"]
    assert "spec" not in line
    assert Event.objects.filter(action="policy:promote").exists()


def test_challengers_shadows_and_roll_backs(api: Api, alice: Member) -> None:
    path = created(api)
    for review in (0.4, 0.5):
        spec = {**SPEC, "thresholds": {"review": review, "block": 0.8}}
        answer = api.post(f"{path}versions/", spec=spec)
        assert answer.status_code == 201
    assert answer.headers["Location"].endswith("/versions/3/")
    for number in (1, 2, 3):
        approved(api, alice, path, number)
        if number < 3:
            assert api.post(f"{path}promote/", version=number).status_code == 200
    challenged = api.post(f"{path}challenge/", version=3, share=0.25).json()
    assert (challenged["challenger"], challenged["challenger_share"]) == (3, 0.25)
    shadowed = api.post(f"{path}shadow/", version=3).json()
    assert (shadowed["challenger"], shadowed["shadow"]) == (None, 3)
    assert api.post(f"{path}shadow/", version=None).json()["shadow"] is None
    assert api.post(f"{path}challenge/", version=None).json()["challenger"] is None
    assert api.post(f"{path}rollback/").json()["champion"] == 1
    assert api.post(f"{path}stop/").json()["champion"] is None
    assert errors(api.delete(path))


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"threshold": 0.7}, "unknown field"),
        ({**SPEC, "thresholds": {"review": 0.9, "block": 0.1}}, "Thresholds"),
        ({**SPEC, "model": "nowhere"}, "no such model"),
        ({**SPEC, "template": "{{amount}} {{sum}}"}, "sum"),
        ("text", "wrong type"),
        (None, "null"),
    ],
)
def test_faults_name_the_field(api: Api, spec: Any, words: str) -> None:
    answer = api.post(LIST, name="payments", spec=spec)
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not DecisionPolicy.objects.exists()


def test_a_name_is_taken_once(api: Api) -> None:
    created(api)
    assert api.post(LIST, name="payments", spec=SPEC).status_code == 409


def test_a_calibration_makes_a_version(api: Api) -> None:
    path, dice = created(api), random.Random(1)
    scores = [dice.random() for _ in range(200)]
    labels = [dice.random() < p / 4 for p in scores]
    rows = {"method": "platt", "scores": scores, "labels": labels}
    answer = api.post(f"{path}versions/1/calibrate/", **rows)
    assert answer.status_code == 201, answer.content
    assert answer.headers["Location"] == f"{path}versions/2/"
    fitted = answer.json()["spec"]["calibration"]
    assert (fitted["method"], fitted["rows"], fitted["model_version"]) == ("platt", 200, "v1")
    few = api.post(f"{path}versions/1/calibrate/", method="isotonic", scores=[0.5], labels=[True])
    assert few.status_code == 400
    assert "at least 500 rows" in few.content.decode()


def test_a_policy_that_never_decided_is_removed(api: Api) -> None:
    path = created(api)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
