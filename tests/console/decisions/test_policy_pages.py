"""Decision policies in the console: written as JSON, read in words, reviewed, promoted."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from inference import engines
from inference.decisions import policies
from inference.decisions.spec import as_json
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.models import Member
from tests.console.conftest import SignIn
from tests.inference.decisions.specs import payments, stump

pytestmark = pytest.mark.django_db
LIST = "/console/t/acme/policies/"
RULE = {"input": "amount", "test": "at_least", "value": 500, "outcome": "block"}


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    settings.ENGINES = {"deepseek-r1": {"kind": "vllm", "url": "http://127.0.0.1:9/v1"}}
    engines.forget()
    yield
    engines.forget()


@pytest.fixture
def policy(bob: Member) -> DecisionPolicy:
    spec = payments(
        tree=stump(),
        stack={"model": 1, "tree": 0.5},
        fallback={"kind": "rules", "rules": [RULE]},
        second_person={"input": "amount", "sum": 1000},
    )
    return policies.create(bob.tenant, "payments", spec, by=bob.actor)


def text(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def page_of(policy: DecisionPolicy, number: int = 1) -> str:
    return f"{LIST}{policy.pk}/versions/{number}/"


def sent(**fields: Any) -> str:
    return json.dumps({**as_json(payments()), **fields})


def test_a_policy_is_written_and_listed(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    assert "No decision policy yet" in text(client, LIST)
    assert "Is it fraud?" in text(client, f"{LIST}addition/")
    answer = client.post(f"{LIST}addition/", {"name": "payments", "spec": sent()})
    policy = DecisionPolicy.objects.get()
    assert answer.headers["Location"] == f"{LIST}{policy.pk}/"
    assert "payments" in text(client, LIST)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("{", "This is no version"),
        ("[" * 30_000, "This is no version"),
        (sent(threshold=1), "unknown field `threshold`"),
        (sent(model="nowhere"), "model: There is no such model."),
        (sent(thresholds={"review": 0.9, "block": 0.8}), "thresholds: "),
    ],
)
def test_faults_are_beside_the_text(bob: Member, sign_in: SignIn, spec: str, words: str) -> None:
    answer = sign_in(bob).post(f"{LIST}addition/", {"name": "payments", "spec": spec})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not DecisionPolicy.objects.exists()


def test_a_version_is_read_in_words(policy: DecisionPolicy, carol: Member, sign_in: SignIn) -> None:
    page = text(sign_in(carol), page_of(policy))
    for words in ("Is it fraud?", "≥ 0.8", "amount ≥ 500: Block", "Otherwise: Review", "1 tree"):
        assert words in page
    assert "amount ≥ 1000" in page
    assert "Send to review" not in page  # an auditor changes nothing


def test_a_new_version_keeps_the_tree_which_no_person_writes(
    policy: DecisionPolicy, bob: Member, sign_in: SignIn
) -> None:
    client = sign_in(bob)
    assert "intercept" not in text(client, f"{page_of(policy)}addition/").split("stack")[0]
    spec = as_json(policies.spec_of(policy.versions.get()))
    del spec["tree"]
    spec["thresholds"]["review"] = 0.4
    answer = client.post(f"{page_of(policy)}addition/", {"spec": json.dumps(spec)})
    assert answer.headers["Location"] == page_of(policy, 2)
    second = policies.spec_of(policy.versions.get(number=2))
    assert (second.thresholds.review, second.tree) == (0.4, payments(tree=stump()).tree)


def test_another_person_approves_and_somebody_promotes(
    policy: DecisionPolicy, bob: Member, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(bob)
    client.post(f"{page_of(policy)}submission/")
    version = DecisionPolicyVersion.objects.get()
    assert (version.state, version.trial_member) == ("trial", bob)
    version.pass_trial({"score": 0.4, "both_labels": True})
    assert client.post(f"{page_of(policy)}approval/").status_code == 403
    owner = sign_in(alice)
    assert "Approve version" in text(owner, page_of(policy))
    owner.post(f"{page_of(policy)}approval/")
    client.post(f"{LIST}{policy.pk}/promotion/", {"version": "1"})
    policy.refresh_from_db()
    assert policy.champion == 1
    assert "in use" in text(client, page_of(policy))


def test_an_owner_does_not_approve_what_they_wrote(alice: Member, sign_in: SignIn) -> None:
    policy = policies.create(alice.tenant, "payments", payments(), by=alice.actor)
    version = policy.versions.get()
    version.submit(by=alice.actor, caller=alice)
    version.pass_trial({"score": 0.4, "both_labels": True})
    client = sign_in(alice)
    assert "Approve version" not in text(client, page_of(policy))
    client.post(f"{page_of(policy)}approval/")
    version.refresh_from_db()
    assert version.state == "in_review"


def test_a_failed_trial_says_why(policy: DecisionPolicy, bob: Member, sign_in: SignIn) -> None:
    version = policy.versions.get()
    version.submit(by=bob.actor, caller=bob)
    version.fail_trial("label_of_several_tokens", label="fraudulent", token="fr")
    page = text(sign_in(bob), page_of(policy))
    assert "fraudulent begins with the token fr." in page
    assert "Send to review" in page


def test_a_challenger_a_shadow_and_a_roll_back(
    policy: DecisionPolicy, bob: Member, sign_in: SignIn
) -> None:
    policies.write(policy, payments(), by="test")
    DecisionPolicyVersion.objects.update(state="approved")
    client, page = sign_in(bob), f"{LIST}{policy.pk}/"
    client.post(f"{page}promotion/", {"version": "1"})
    client.post(f"{page}challenge/", {"version": "2", "percent": "20"})
    policy.refresh_from_db()
    assert (policy.champion, policy.challenger, policy.challenger_share) == (1, 2, 0.2)
    assert "(20 %)" in text(client, page)
    client.post(f"{page}challenge/", {"version": "", "percent": "20"})
    client.post(f"{page}shadow/", {"version": "2"})
    policy.refresh_from_db()
    assert (policy.challenger, policy.shadow) == (None, 2)
    client.post(f"{page}promotion/", {"version": "2"})
    client.post(f"{page}rollback/")
    policy.refresh_from_db()
    assert policy.champion == 1
    wrong = client.post(f"{page}promotion/", {"version": "7"})
    assert "Select a valid choice" in wrong.content.decode()
    client.post(f"{page}stop/")
    policy.refresh_from_db()
    assert policy.champion is None


def test_acts_need_a_recent_proof(
    policy: DecisionPolicy, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.account.reauthentication.is_proven", lambda *_: False)
    client = sign_in(bob)
    for path in (f"{LIST}{policy.pk}/stop/", f"{page_of(policy)}submission/"):
        answer = client.post(path)
        assert "proof" in answer.headers["Location"]
    assert policy.versions.get().state == "draft"
