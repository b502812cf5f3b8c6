"""Pages of evaluations of decision policies."""

import json
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from audit.models import Event
from inference.models import DecisionPolicyVersion, PolicyDrift, PolicyEvaluation
from tenants.models import Member, Tenant
from tests.console.conftest import SignIn
from tests.console.evaluations.policy_reported import policy_reported, policy_version
from tests.inference.decisions.specs import payments, stump

pytestmark = pytest.mark.django_db
ROWS = b"amount,merchant,abroad,card,fraud\n" + b"".join(
    b"%d,Tea,no,c%d,%d\n" % (at, at, at % 2) for at in range(60)
)


@pytest.fixture
def client(sign_in: SignIn, alice: Member) -> Client:
    """Alice's browser."""
    return sign_in(alice)


def path(evaluation: PolicyEvaluation, part: str = "") -> str:
    return f"/console/t/acme/policy-evaluations/{evaluation.pk}/{part}"


def sent(version: DecisionPolicyVersion, data: bytes = ROWS, **fields: str) -> dict[str, object]:
    form = {"purpose": "report", "label": "fraud", "group": "card", **fields}
    return {"version": version.pk, "content": SimpleUploadedFile("rows.csv", data), **form}


def test_a_report_has_figures_of_each_side_plots_and_outcomes(client: Client, acme: Tenant) -> None:
    answer = client.get(path(policy_reported(acme)))
    text = answer.content.decode()
    assert answer.status_code == 200
    for words in ("AUC", "Model alone", "Tree alone", "Approving everything", "Recall at 1 %"):
        assert words in text
    assert text.count('role="img"') == 2


def test_a_report_is_downloaded_on_record(client: Client, acme: Tenant) -> None:
    evaluation = policy_reported(acme)
    page = client.post(path(evaluation, "file/"), {"form": "html"})
    data = client.post(path(evaluation, "file/"), {"form": "json"})
    assert page["Content-Type"] == "text/html"
    assert page.content.count(b"<svg") == 2
    assert json.loads(data.content) == evaluation.report
    assert "policy-payments-1-" in data["Content-Disposition"]
    assert Event.objects.filter(action="evaluation:export").count() == 2


def test_a_file_begins_an_evaluation(client: Client, acme: Tenant) -> None:
    version = policy_version(acme, "payments", payments())
    answer = client.post("/console/t/acme/policy-evaluations/addition/", sent(version))
    evaluation = PolicyEvaluation.objects.get()
    assert answer.url == path(evaluation)  # type: ignore[attr-defined]
    assert (evaluation.total, evaluation.state) == (60, "queued")
    assert b'hx-trigger="every 2s"' in client.get(path(evaluation)).content
    assert b"payments@1" in client.get("/console/t/acme/policy-evaluations/").content


@pytest.mark.parametrize(
    ("data", "purpose", "words"),
    [
        (b"amount,merchant,abroad,card,fraud\n-1,Tea,no,c,1\n", "report", "Line 2"),
        (b"amount,merchant,abroad,card,fraud\n1,Tea,no,c,1\n", "report", "both outcomes"),
        (ROWS, "isotonic", "at least 500 rows"),
        (ROWS + b"#" * 1_000_000, "report", "larger than 1000000 bytes"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_on_the_form(
    client: Client, acme: Tenant, data: bytes, purpose: str, words: str
) -> None:
    version = policy_version(acme, "payments", payments(tree=stump()))
    fields = sent(version, data, purpose=purpose)
    answer = client.post("/console/t/acme/policy-evaluations/addition/", fields)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not PolicyEvaluation.objects.exists()


def test_a_version_of_another_tenant_cannot_be_named(
    client: Client, acme: Tenant, globex: Tenant
) -> None:
    version = policy_version(globex, "payments", payments())
    client.post("/console/t/acme/policy-evaluations/addition/", sent(version))
    assert not PolicyEvaluation.objects.exists()


def test_one_under_way_is_cancelled_and_then_removed(client: Client, acme: Tenant) -> None:
    version = policy_version(acme, "payments", payments())
    client.post("/console/t/acme/policy-evaluations/addition/", sent(version))
    evaluation = PolicyEvaluation.objects.get()
    client.post(path(evaluation, "removal/"))
    assert PolicyEvaluation.objects.exists()  # under way
    client.post(path(evaluation, "cancellation/"))
    evaluation.refresh_from_db()
    assert (evaluation.state, evaluation.ciphertext) == ("cancelled", None)
    client.post(path(evaluation, "removal/"))
    assert not PolicyEvaluation.objects.exists()


def test_the_days_drift_of_each_policy_is_on_the_page(client: Client, acme: Tenant) -> None:
    policy = policy_version(acme, "payments", payments()).policy
    now = timezone.now()
    figures = {"rows": 400, "score_psi": 0.123, "input_psi": {"merchant": 0.4, "amount": 0.1}}
    feedback = {"labelled": 300, "calibration_error": 0.05, "mean_score": 0.1, "rate": 0.15}
    for day, more in ((now.date() - timedelta(days=1), {"score_psi": 0.9}), (now.date(), {})):
        PolicyDrift.objects.create(
            tenant=acme, policy=policy, version_number=1, day=day, measured_at=now,
            **{**figures, **feedback, **more},
        )  # fmt: skip
    text = client.get("/console/t/acme/policy-evaluations/").content.decode()
    assert "0.123" in text
    assert "merchant: 0.400" in text
    assert "0.900" not in text  # of the day before
