"""Evaluations of decision policies over the management API."""

from typing import Any

import pytest

from inference.models import PolicyEvaluation
from tenants.models import ApiKey, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.console.evaluations.policy_reported import policy_reported, policy_version
from tests.inference.decisions.specs import payments

pytestmark = pytest.mark.django_db
T = "tenants/acme/policy-evaluations/"
CONTENT = "amount,merchant,abroad,label\n" + "".join(f"{n},Tea,no,{n % 2}\n" for n in range(60))
BODY: dict[str, Any] = {"policy": "payments", "version": 1, "content": CONTENT}


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    policy_version(acme, "payments", payments())
    return with_key(acme, ["inference", "management:read", "management:write"])


def test_an_evaluation_asks_with_the_keys_own_limits(api: Api, acme: Tenant) -> None:
    answer = api.post(T, **BODY)
    assert answer.status_code == 201, answer.json()
    row = answer.json()
    assert (row["policy"], row["version"], row["purpose"]) == ("payments", 1, "report")
    assert (row["total"], row["percent"], row["report"]) == (60, 0, None)
    assert "Tea" not in str(row)
    assert PolicyEvaluation.objects.get().api_key == ApiKey.objects.get(tenant=acme)
    assert api.post(f"{T}{row['id']}/cancel/").json()["state"] == "cancelled"
    assert api.delete(f"{T}{row['id']}/").status_code == 204


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("content", "amount,merchant,abroad,label\n1,Tea,no,maybe\n", "Line 2"),
        ("content", CONTENT.replace("label", "fraud"), "lacks the column label"),
        ("version", 9, "no such"),
        ("purpose", "guess", "guess"),
        ("purpose", "stack", "no tree"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_its_field(
    api: Api, field: str, value: Any, words: str
) -> None:
    answer = api.post(T, **{**BODY, field: value})
    assert answer.status_code == 400
    assert words in str(errors(answer)[field])


def test_a_report_is_listed_and_downloaded(api: Api, acme: Tenant) -> None:
    evaluation = policy_reported(acme, "cards")
    (row,) = api.get(T, policy="cards").json()["results"]
    assert row["report"]["sides"]["policy"]["figures"]["auc"]["value"] > 0.5
    page = api.get(f"{T}{evaluation.pk}/report/", form="html")
    assert page["Content-Type"] == "text/html"
    assert api.get(f"{T}{evaluation.pk}/report/").json() == evaluation.report
