"""Versions of a policy: written by one person, approved by another, promoted, rolled back."""

from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from pytest_django.fixtures import Settings

from audit.models import Event
from inference import engines
from inference.decisions import policies, serving
from inference.decisions.spec import Calibration
from inference.models import DecisionPolicy, DecisionPolicyVersion
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.inference.decisions.specs import payments

pytestmark = pytest.mark.django_db
POOL = {"kind": "vllm", "url": "http://127.0.0.1:9/v1", "version": "v1"}
TRIAL = {"score": 0.4}


@pytest.fixture(autouse=True)
def _served(settings: Settings) -> Iterator[None]:
    settings.ENGINES = {"deepseek-r1": POOL}
    engines.forget()
    yield
    engines.forget()


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


def member(tenant: Tenant, name: str) -> Member:
    user = User.objects.create_user(f"{name}@example.com", password="a long password")
    return Member.objects.create(tenant=tenant, user=user, role=Role.ADMIN)


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return member(acme, "alice")


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return member(acme, "bob")


@pytest.fixture
def policy(acme: Tenant, alice: Member) -> DecisionPolicy:
    return policies.create(acme, "payments", payments(), by=alice.actor)


def write(policy: DecisionPolicy, alice: Member, review: float = 0.3) -> DecisionPolicyVersion:
    spec = payments(thresholds={"review": review, "block": 0.8})
    return policies.write(policy, spec, by=alice.actor)


def approve(version: DecisionPolicyVersion, alice: Member, bob: Member) -> DecisionPolicyVersion:
    version.submit(by=alice.actor, caller=alice)
    version.pass_trial(TRIAL)
    version.approve(by=bob.actor)
    return version


@pytest.fixture
def approved(policy: DecisionPolicy, alice: Member, bob: Member) -> list[DecisionPolicyVersion]:
    """Three approved versions of the policy."""
    versions = [policy.versions.get(), write(policy, alice, 0.4), write(policy, alice, 0.5)]
    for version in versions:
        version.policy = policy
    return [approve(version, alice, bob) for version in versions]


def acts() -> list[str]:
    events = Event.objects.filter(action__startswith="policy:").order_by("id")
    return [event.action.removeprefix("policy:") for event in events]


def test_each_act_is_on_record(
    policy: DecisionPolicy, alice: Member, bob: Member, acme: Tenant
) -> None:
    version = policy.versions.get()
    version.policy = policy
    approve(version, alice, bob)
    policies.promote(version, by=bob.actor)
    policy.stop(by=bob.actor)
    version.retire(by=bob.actor)
    assert acts() == [
        "create", "write", "submit", "trial", "approve", "promote", "stop", "retire",
    ]  # fmt: skip
    approval = Event.objects.get(action="policy:approve")
    assert (approval.actor, approval.tenant_id) == (bob.actor, acme.pk)
    assert approval.detail == {"policy": str(policy.pk), "name": "payments", "version": 1}


def test_nobody_approves_what_they_wrote_or_sent_to_review(
    policy: DecisionPolicy, alice: Member, bob: Member
) -> None:
    version = policy.versions.get()
    version.submit(by=bob.actor, caller=bob)
    version.pass_trial(TRIAL)
    for author in (alice, bob):
        with pytest.raises(ValidationError, match="another person"):
            version.approve(by=author.actor)
    assert version.authors == [alice.actor, bob.actor]


def test_nobody_approves_what_their_key_wrote(acme: Tenant, alice: Member) -> None:
    key, _text = ApiKey.issue(acme, "mine", created_by=alice, by=alice.actor)
    policy = policies.create(acme, "payments", payments(), by=key.actor)
    version = policy.versions.get()
    version.submit(by=key.actor, caller=key)
    version.pass_trial(TRIAL)
    with pytest.raises(ValidationError, match="another person"):
        version.approve(by=alice.actor)


@pytest.mark.parametrize("state", ["draft", "trial", "in_review", "retired"])
def test_only_an_approved_version_decides(policy: DecisionPolicy, state: str) -> None:
    version = policy.versions.get()
    DecisionPolicyVersion.objects.update(state=state)
    with pytest.raises(ValidationError, match="Only an approved"):
        policies.promote(version, by="test")
    assert not acts()[2:]


def test_a_failed_trial_makes_it_a_draft_again(policy: DecisionPolicy, alice: Member) -> None:
    version = policy.versions.get()
    version.submit(by=alice.actor, caller=alice)
    version.fail_trial("no_logprobs")
    assert (version.state, version.trial) == ("draft", {"problem": "no_logprobs"})
    event = Event.objects.get(action="policy:trial")
    assert (event.success, event.detail["problem"]) == (False, "no_logprobs")
    version.pass_trial(TRIAL)  # of a process that was slower
    assert version.state == "draft"


def test_roll_backs_go_back_step_by_step(
    policy: DecisionPolicy, approved: list[DecisionPolicyVersion]
) -> None:
    for version in approved:
        policies.promote(version, by="test")
    policy.roll_back(by="test")
    assert policy.champion == 2
    policy.roll_back(by="test")
    assert policy.champion == 1
    with pytest.raises(ValidationError, match="No earlier version"):
        policy.roll_back(by="test")


def test_a_challenger_decides_its_share_and_the_same_request_gets_the_same(
    policy: DecisionPolicy, approved: list[DecisionPolicyVersion]
) -> None:
    one, two, three = approved
    with pytest.raises(ValidationError, match="promote one first"):
        policies.challenge(two, 0.2, by="test")
    policies.promote(one, by="test")
    policies.challenge(two, 0.2, by="test")
    policies.run_in_shadow(three, by="test")
    policy.refresh_from_db()
    state = serving.in_force(policy)
    assert state
    assert (state.challenger and state.challenger.number, state.share) == (2, 0.2)
    assert state.shadow
    assert state.shadow.spec.thresholds.review == 0.5
    ids = [UUID(int=n * 2**64 + n * 7919) for n in range(10_000)]
    numbers = [state.version_for(each).number for each in ids]
    assert numbers.count(2) == pytest.approx(2_000, abs=100)
    assert numbers == [state.version_for(each).number for each in ids]


@pytest.mark.parametrize("share", [0.0, -0.1, 0.51, float("nan")])
def test_a_share_is_bounded(
    policy: DecisionPolicy, approved: list[DecisionPolicyVersion], share: float
) -> None:
    policies.promote(approved[0], by="test")
    with pytest.raises(ValidationError, match="share"):
        policies.challenge(approved[1], share, by="test")


def test_a_promoted_challenger_challenges_nobody(
    policy: DecisionPolicy, approved: list[DecisionPolicyVersion]
) -> None:
    one, two, _three = approved
    policies.promote(one, by="test")
    policies.challenge(two, 0.2, by="test")
    policies.promote(two, by="test")
    policy.refresh_from_db()
    assert (policy.champion, policy.challenger, policy.challenger_share) == (2, None, 0.0)
    policies.run_in_shadow(one, by="test")
    policy.roll_back(by="test")
    assert (policy.champion, policy.shadow) == (1, None)


def test_what_serves_is_not_retired_and_what_served_is_not_deleted(
    policy: DecisionPolicy, approved: list[DecisionPolicyVersion]
) -> None:
    policies.promote(approved[0], by="test")
    with pytest.raises(ValidationError, match="promote another"):
        approved[0].retire(by="test")
    policies.promote(approved[1], by="test")
    approved[0].retire(by="test")
    with pytest.raises(ValidationError, match="stop it instead"):
        policy.remove(by="test")
    assert policy.previous is None  # a retired one never decides again


def test_a_policy_that_never_decided_is_deleted(policy: DecisionPolicy) -> None:
    policy.remove(by="test")
    assert not DecisionPolicyVersion.objects.exists()


def test_nothing_of_it_rests_in_clear(policy: DecisionPolicy) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select v::text from inference_decisionpolicyversion v")
        ((row,),) = cursor.fetchall()
    assert "fraud" not in row
    assert policies.spec_of(policy.versions.get()).template.endswith("yes or no")


# Models ------------------------------------------------------------------------------------------
def test_a_policy_is_made_for_the_version_that_serves(policy: DecisionPolicy) -> None:
    version = policy.versions.get()
    assert version.model_version == policies.spec_of(version).model_version == "v1"


@pytest.mark.parametrize(
    ("pool", "fields", "words"),
    [
        (POOL, {"model": "other"}, "no such model"),
        (POOL | {"capabilities": {"logprobs": False}}, {}, "no log-probabilities"),
        (POOL | {"capabilities": {"text": False}}, {}, "no log-probabilities"),
        (POOL, {"model_version": "v0"}, "v0 of deepseek-r1, and v1 serves now"),
    ],
)
def test_models_that_cannot_be_asked(
    settings: Settings,
    acme: Tenant,
    pool: dict[str, object],
    fields: dict[str, str],
    words: str,
) -> None:
    settings.ENGINES = {"deepseek-r1": pool}
    engines.forget()
    with pytest.raises(ValidationError) as refused:
        policies.create(acme, "payments", payments(**fields), by="test")
    assert words in str(refused.value)
    assert not DecisionPolicy.objects.exists()


def calibration(version: str) -> Calibration:
    return Calibration("platt", "deepseek-r1", version, 900, 30, "2026-11-30", slope=1.2)


def test_a_calibration_older_than_its_model_is_refused(
    policy: DecisionPolicy, settings: Settings
) -> None:
    first = policy.versions.get()
    fitted = policies.calibrate(first, calibration("v1"), by="test")
    assert policies.spec_of(fitted).calibration == calibration("v1")
    settings.ENGINES = {"deepseek-r1": POOL | {"version": "v2"}}
    engines.forget()
    spec = msgspec.structs.replace(policies.spec_of(fitted), model_version="")
    with pytest.raises(ValidationError, match="older than its model"):
        policies.write(policy, spec, by="test")


def test_a_version_for_another_model_version_is_not_promoted(
    approved: list[DecisionPolicyVersion], settings: Settings
) -> None:
    settings.ENGINES = {"deepseek-r1": POOL | {"version": "v2"}}
    engines.forget()
    with pytest.raises(ValidationError, match="v2 serves now"):
        policies.promote(approved[0], by="test")


def test_names(acme: Tenant, policy: DecisionPolicy) -> None:
    for name, words in (("payments", "taken"), ("Pay ments", "lower-case")):
        with pytest.raises(ValidationError, match=words):
            policies.create(acme, name, payments(), by="test")
