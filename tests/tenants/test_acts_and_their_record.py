"""Every administrative act and its event stand or fall together."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import DatabaseError
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from inference.evaluation.content import Content, Item, Kind
from inference.model_registry.promoting import promote
from inference.models import (
    ActionCall,
    Adapter,
    AdapterPromotion,
    Assistant,
    AssistantVersion,
    CallState,
    DecisionPolicy,
    DecisionPolicyVersion,
    Engine,
    Evaluation,
    EvaluationGate,
    Job,
    JobKind,
    JobState,
    Model,
    ModelAlias,
    ModelVersion,
    Pool,
    Replacement,
    Settlement,
    TaskSet,
    VersionKind,
    WebhookAction,
)
from inference.models.decisions.policy_version import Written
from inference.registry.versions import proposed
from tenants import model_access
from tenants.accounts import password_reset, second_factor_policy
from tenants.models import (
    ApiKey,
    Link,
    Member,
    Notice,
    NoticeState,
    NoticeTarget,
    Price,
    Quota,
    QuotaRaise,
    Team,
    Tenant,
    User,
)
from tenants.models.link import Purpose
from tenants.models.restricted_model import RestrictedModel
from tenants.models.tier import TierPolicy
from tenants.notices.trial import send_test
from tenants.roles import Role
from tests import people
from tests.console.inbox.rows import a_call
from tests.inference.actions.conftest import new_action
from tests.inference.adapters.rows import a_version, serve
from tests.inference.assistants.rows import an_assistant, built, shop_content

pytestmark = pytest.mark.django_db
PASSWORD = "a forebay holds the river"
BY = "test"
NEW_URL = "https://shop.example.com/v2/"


@dataclass
class World:
    """acme with one of everything; alice owns it, bob is in her team, grace is invited."""

    acme: Tenant
    alice: Member
    bob: Member
    team: Team
    other_team: Team
    key: ApiKey
    restricted: RestrictedModel
    quota: Quota
    asked: QuotaRaise
    invitation: Link
    engine: Engine

    @property
    def operator(self) -> User:
        return User.objects.get(email="op@forebay.example")

    def in_two_days(self) -> Any:
        return timezone.now() + timedelta(days=2)


@pytest.fixture
def world(settings: Any) -> World:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    acme = Tenant.open("acme", by=BY)
    alice, bob = (join(acme, name, role) for name, role in (("alice", "owner"), ("bob", "admin")))
    User.objects.create_user("op@forebay.example", PASSWORD, is_operator=True)
    team, other = (Team.form(acme, name, by=BY) for name in ("research", "search"))
    team.add(bob, by=BY)
    restricted = model_access.restrict(acme, "mock", by=BY)
    model_access.grant(restricted, team, by=BY)
    quota = Quota.set(acme, unit="requests", window="day", limit=10, by=BY)
    ends = timezone.now() + timedelta(days=2)
    asked = QuotaRaise.ask(quota, 5, "a launch", ends, user=alice.user, by=BY)
    Link.issue(Purpose.INVITATION, by=BY, email="grace@acme.example", tenant=acme, role=Role.MEMBER)
    link, (key, _text) = Link.objects.get(), ApiKey.issue(acme, "ci", by=BY)
    return World(
        acme, alice, bob, team, other, key, restricted, quota, asked, link, _engine(_pool(), "mock")
    )


def join(tenant: Tenant, name: str, role: str) -> Member:
    return people.join(tenant, f"{name}@acme.example", Role(role), PASSWORD, by=BY)


def _pool() -> Pool:
    return Pool.add(Model.add("mock", by=BY), "mock", by=BY)


def _engine(pool: Pool, name: str) -> Engine:
    return Engine.add(pool, name, by=BY, kind="openai", url="http://127.0.0.1:9/v1")


def _version(w: World) -> ModelVersion:
    return ModelVersion.begin(tenant_id=None, name="m", kind=VersionKind.BASE, by=BY)


def _suspended(w: World) -> Tenant:
    Tenant.objects.filter(pk=w.acme.pk).update(state="suspended")
    return Tenant.objects.get(pk=w.acme.pk)


def _first_run(w: World) -> Link:
    url = Link.issue(Purpose.FIRST_RUN, by=BY)
    link = Link.objects.by_token(url.rstrip("/").rpartition("/")[2])
    assert link
    return link


def _replaced(w: World) -> Replacement:
    return Replacement.begin(w.engine, *proposed(w.engine, {}), by=BY)


def _switched(w: World) -> Replacement:
    found = _replaced(w)
    found.switch(by=BY)
    return found


def _resting(w: World, launched: dict[str, str]) -> Engine:
    Engine.objects.filter(pk=w.engine.pk).update(options={"launch": launched})
    engine: Engine = Engine.objects.get(pk=w.engine.pk)
    engine.rest(by=BY)
    return engine


def _lent(w: World, *, asked_back: bool = False) -> Engine:
    engine = _resting(w, {"model": "a-model"})
    engine.lend(by=BY)
    Engine.objects.filter(pk=engine.pk).update(gpu_free=True)  # by the supervisor
    if asked_back:
        engine.take_back(by=BY)
    return engine


def _stopped(w: World) -> Engine:
    engine = _resting(w, {"model": "a-model"})
    engine.stop_server(by=BY)
    return engine


def _adapter(w: World) -> Adapter:
    """One whose second version serves."""
    adapter = Adapter.create(w.acme, "mock", "support", by=BY)
    for number in (1, 2):
        serve(adapter, a_version(w.acme, number))
    return adapter


def _alias(w: World) -> ModelAlias:
    return ModelAlias.create(w.acme, "sonnet", "mock", by=BY)


def _policy(w: World, versions: int = 0) -> DecisionPolicy:
    """Returns a policy with so many approved versions, each promoted after the other."""
    written = Written(b"{}", "mock")
    policy = DecisionPolicy.create(w.acme, "payments", written, by=w.alice.actor)
    for number in range(1, versions + 1):
        version = policy.versions.filter(number=number).first()
        version = version or policy.write(written, by=w.alice.actor)
        _in_review(w, version).approve(by=BY)
        policy.promote(version, by=BY)
    return policy


def _draft(w: World) -> DecisionPolicyVersion:
    return _policy(w).versions.get()


def _on_trial(w: World, version: DecisionPolicyVersion) -> DecisionPolicyVersion:
    version.submit(by=w.alice.actor, caller=w.alice)
    return version


def _in_review(w: World, version: DecisionPolicyVersion) -> DecisionPolicyVersion:
    _on_trial(w, version).pass_trial({"score": 0.5})
    return version


def _approved(w: World) -> tuple[DecisionPolicy, DecisionPolicyVersion]:
    """Returns a policy whose second version decides, and its approved first one."""
    policy = _policy(w, 2)
    return policy, policy.versions.get(number=1)


def _promote(w: World) -> Callable[[], Any]:
    policy, version = _approved(w)
    return partial(policy.promote, version, by=BY)


def _challenge(w: World) -> Callable[[], Any]:
    policy, version = _approved(w)
    return partial(policy.challenge, version, 0.1, by=BY)


def _shadow(w: World) -> Callable[[], Any]:
    policy, version = _approved(w)
    return partial(policy.run_in_shadow, version, by=BY)


def _built(w: World, assistant: Assistant | None = None) -> AssistantVersion:
    return built(assistant or an_assistant(w.acme, w.alice, by=w.alice.actor))


def _submitted(w: World, assistant: Assistant | None = None) -> AssistantVersion:
    version = _built(w, assistant)
    version.submit(by=w.alice.actor)
    return version


def _answering(w: World, versions: int) -> Assistant:
    """Returns an assistant with so many versions that were promoted, one after the other."""
    assistant = an_assistant(w.acme, w.alice, by=w.alice.actor)
    for number in range(1, versions + 1):
        if number > 1:
            assistant.write(shop_content(), by=w.alice.actor, caller=w.alice)
        version = _submitted(w, assistant)
        version.approve(by=BY)
        assistant.promote(version, by=BY)
    return assistant


def _write_assistant(w: World) -> Callable[[], Any]:
    assistant = an_assistant(w.acme, w.alice, by=w.alice.actor)
    return partial(assistant.write, shop_content(), by=BY, caller=w.alice)


def _promote_assistant(w: World) -> Callable[[], Any]:
    assistant = _answering(w, 2)
    return partial(assistant.promote, assistant.versions.get(number=1), by=BY)


def _challenge_assistant(w: World) -> Callable[[], Any]:
    assistant = _answering(w, 2)
    return partial(assistant.challenge, assistant.versions.get(number=1), 0.1, by=BY)


def _webhook(w: World) -> WebhookAction:
    return new_action(w.acme, "https://shop.example.com/")[0]


def _proposed(w: World) -> WebhookAction:
    action = _webhook(w)
    action.propose({"url": NEW_URL}, by=w.bob.actor)
    return action


def _approve_change(w: World) -> Callable[[], Any]:
    action = _proposed(w)
    assert action.proposed_at
    return partial(action.approve_change, action.proposed_at, by=BY)


def _notice_target(w: World) -> NoticeTarget:
    target = NoticeTarget(tenant=w.acme, kind="webhook", name="ops", groups=["quotas"])
    target.create("https://hooks.example.com/", by=BY)
    return target


def _failed_notice(w: World) -> Notice:
    notice = send_test(_notice_target(w), by=BY)
    notice.end(NoticeState.FAILED)
    return notice


def _sent_call(w: World) -> ActionCall:
    return a_call(w.acme, CallState.SENT)


def _question(w: World) -> ActionCall:
    """Returns whether to call an action that moves money."""
    return a_call(w.acme, CallState.PROPOSED)


def _loading(w: World) -> AdapterPromotion:
    return _adapter(w).promote(a_version(w.acme, 3), by=BY)


def _task_set(w: World) -> TaskSet:
    content = Content(Kind.EXACT, [Item(prompt="1 + 1 =", answers=["2"])])
    return TaskSet.publish(w.acme, "sums", content, by=BY)


def _evaluation(w: World, task_set: TaskSet) -> Evaluation:
    return Evaluation.create(task_set, "mock", by=BY, caller=w.key)


def _cancelled(w: World) -> Evaluation:
    return _evaluation(w, _task_set(w)).cancel(by=BY)


def _gate(w: World) -> EvaluationGate:
    fields = {"metric": "accuracy", "bound": "absolute", "limit": 0.5}
    names = {"task_set_name": "sums", "sha256": "0" * 64}
    return EvaluationGate.add(w.engine.pool, **names, **fields, by=BY)  # type: ignore[arg-type]


def _second_operator() -> User:
    return User.objects.create_user("second@forebay.example", PASSWORD, is_operator=True)


def _job(world: World, state: JobState = JobState.RUNNING) -> Job:
    return Job.objects.create(
        tenant=world.acme,
        subject_id=world.alice.subject_id,
        data_key_id=uuid4(),
        actor=world.alice.actor,
        kind=JobKind.QUANTISE,
        state=state,
        model="large",
        pool="here",
    )


# What each does, ready to be done: whatever it needs first is there before it is called.
Act = Callable[[World], Callable[[], Any]]
ACTS: dict[Action, Act] = {
    Action.TENANT_CREATE: lambda w: lambda: Tenant.open("globex", by=BY),
    Action.TENANT_CHANGE: lambda w: lambda: w.acme.change(by=BY, local_only=True),
    Action.TENANT_SUSPEND: lambda w: lambda: w.acme.suspend(by=BY, reason="unpaid"),
    Action.TENANT_RESUME: lambda w: partial(_suspended(w).resume, by=BY),
    Action.TENANT_CLOSE: lambda w: lambda: w.acme.close(by=BY, reason="over"),
    Action.TIER_CHANGE: lambda w: lambda: TierPolicy.objects.of("vip").change(by=BY, burst=7),
    Action.MEMBER_ADD: lambda w: lambda: w.acme.add_member(w.operator, Role.MEMBER, by=BY),
    Action.MEMBER_REMOVE: lambda w: lambda: w.bob.remove(by=BY),
    Action.MEMBER_ROLE: lambda w: lambda: w.bob.change_role(Role.AUDITOR, by=BY),
    Action.TEAM_CREATE: lambda w: lambda: Team.form(w.acme, "sales", by=BY),
    Action.TEAM_CHANGE: lambda w: lambda: w.team.rename("development", by=BY),
    Action.TEAM_DELETE: lambda w: lambda: w.team.disband(by=BY),
    Action.TEAM_JOIN: lambda w: lambda: w.team.add(w.alice, by=BY),
    Action.TEAM_LEAVE: lambda w: lambda: w.team.take_out(w.bob, by=BY),
    Action.MODEL_ADD: lambda w: lambda: Model.add("large", by=BY),
    Action.MODEL_CHANGE: lambda w: lambda: w.engine.pool.model.change(by=BY, only_for=w.acme.pk),
    Action.MODEL_REMOVE: lambda w: lambda: w.engine.pool.model.remove(by=BY),
    Action.POOL_ADD: lambda w: lambda: Pool.add(w.engine.pool.model, "second", by=BY),
    Action.POOL_CHANGE: lambda w: lambda: w.engine.pool.change(by=BY, position=3),
    Action.POOL_REMOVE: lambda w: lambda: w.engine.pool.remove(by=BY),
    Action.ENGINE_ADD: lambda w: lambda: _engine(w.engine.pool, "second"),
    Action.ENGINE_CHANGE: lambda w: lambda: w.engine.change(by=BY, slots=3),
    Action.ENGINE_DRAIN: lambda w: lambda: w.engine.drain(by=BY),
    Action.ENGINE_RESUME: lambda w: partial(w.engine.drain(by=BY).resume, by=BY),
    Action.ENGINE_REST: lambda w: lambda: w.engine.rest(by=BY),
    Action.ENGINE_WAKE: lambda w: partial(_resting(w, {}).wake, by=BY),
    Action.ENGINE_STOP: lambda w: partial(_resting(w, {"model": "a-model"}).stop_server, by=BY),
    Action.ENGINE_START: lambda w: partial(_stopped(w).start_server, by=BY),
    Action.ENGINE_LEND: lambda w: partial(_resting(w, {"model": "a-model"}).lend, by=BY),
    Action.ENGINE_TAKE_BACK: lambda w: partial(_lent(w).take_back, by=BY),
    Action.ENGINE_HAND_BACK: lambda w: partial(_lent(w, asked_back=True).hand_back, by=BY),
    Action.ENGINE_REMOVE: lambda w: lambda: w.engine.remove(by=BY),
    Action.ENGINE_REPLACE: lambda w: lambda: _replaced(w),
    Action.ENGINE_REPLACE_CANCEL: lambda w: partial(_replaced(w).cancel, by=BY),
    Action.ENGINE_REPLACE_FAIL: lambda w: partial(_replaced(w).fail, "no memory", by=BY),
    Action.ENGINE_SWITCH: lambda w: partial(_replaced(w).switch, by=BY),
    Action.ENGINE_ROLLBACK: lambda w: partial(_switched(w).roll_back, by=BY),
    Action.ADAPTER_CREATE: lambda w: lambda: Adapter.create(w.acme, "mock", "new", by=BY),
    Action.ADAPTER_PROMOTE: lambda w: partial(_adapter(w).promote, a_version(w.acme, 3), by=BY),
    Action.ADAPTER_ROLLBACK: lambda w: partial(_adapter(w).roll_back, by=BY),
    Action.ADAPTER_SERVE: lambda w: partial(_loading(w).serve, by=BY),
    Action.ADAPTER_FAIL: lambda w: partial(_loading(w).fail, "no memory", by=BY),
    Action.ADAPTER_CANCEL: lambda w: partial(_loading(w).cancel, by=BY),
    Action.ADAPTER_REMOVE: lambda w: partial(_adapter(w).remove, by=BY),
    Action.ACTION_CREATE: lambda w: lambda: _webhook(w),
    Action.ACTION_CHANGE: lambda w: partial(_webhook(w).change, timeout_s=5, by=BY),
    Action.ACTION_PROPOSE: lambda w: partial(_webhook(w).propose, {"url": NEW_URL}, by=BY),
    Action.ACTION_APPROVE: lambda w: _approve_change(w),
    Action.ACTION_WITHDRAW: lambda w: partial(_proposed(w).withdraw_change, by=BY),
    Action.ACTION_ROTATE: lambda w: partial(
        _webhook(w).rotate, "whsec_x", timedelta(hours=1), by=BY
    ),
    Action.ACTION_REMOVE: lambda w: partial(_webhook(w).remove, by=BY),
    Action.NOTICE_TARGET_CREATE: lambda w: lambda: _notice_target(w),
    Action.NOTICE_TARGET_CHANGE: lambda w: partial(_notice_target(w).change, name="x", by=BY),
    Action.NOTICE_TARGET_ROTATE: lambda w: partial(
        _notice_target(w).rotate, timedelta(hours=1), by=BY
    ),
    Action.NOTICE_TARGET_REMOVE: lambda w: partial(_notice_target(w).remove, by=BY),
    Action.NOTICE_REDELIVER: lambda w: partial(_failed_notice(w).redeliver, by=BY),
    Action.ACTION_CONFIRM: lambda w: partial(_question(w).confirm, uuid4(), by=BY),
    Action.ACTION_CALL: lambda w: partial(_question(w).send, uuid4(), 5, by=BY),
    Action.ACTION_END: lambda w: partial(_sent_call(w).end, CallState.SUCCEEDED, answer={}),
    Action.ACTION_SETTLE: lambda w: partial(a_call(w.acme).settle, Settlement.DONE, by=BY),
    Action.ALIAS_CREATE: lambda w: lambda: _alias(w),
    Action.ALIAS_CHANGE: lambda w: partial(_alias(w).change, "large", by=BY),
    Action.ALIAS_REMOVE: lambda w: partial(_alias(w).remove, by=BY),
    Action.POLICY_CREATE: lambda w: lambda: _policy(w),
    Action.POLICY_WRITE: lambda w: partial(_policy(w).write, Written(b"{}", "mock"), by=BY),
    Action.POLICY_SUBMIT: lambda w: partial(_draft(w).submit, by=BY, caller=w.alice),
    Action.POLICY_TRIAL: lambda w: partial(_on_trial(w, _draft(w)).fail_trial, "no_logprobs"),
    Action.POLICY_APPROVE: lambda w: partial(_in_review(w, _draft(w)).approve, by=BY),
    Action.POLICY_SEND_BACK: lambda w: partial(_in_review(w, _draft(w)).send_back, "why", by=BY),
    Action.POLICY_REPORT: lambda w: partial(_draft(w).note_report, {"auc": 0.9}, by=BY),
    Action.POLICY_PROMOTE: _promote,
    Action.POLICY_ROLLBACK: lambda w: partial(_policy(w, 2).roll_back, by=BY),
    Action.POLICY_CHALLENGE: _challenge,
    Action.POLICY_SHADOW: _shadow,
    Action.POLICY_STOP: lambda w: partial(_policy(w, 1).stop, by=BY),
    Action.POLICY_RETIRE: lambda w: partial(_draft(w).retire, by=BY),
    Action.POLICY_REMOVE: lambda w: partial(_policy(w).remove, by=BY),
    Action.ASSISTANT_CREATE: lambda w: partial(an_assistant, w.acme, w.alice),
    Action.ASSISTANT_WRITE: _write_assistant,
    Action.ASSISTANT_BUILD: lambda w: partial(_built(w).rebuild, by=BY, caller=w.alice),
    Action.ASSISTANT_SUBMIT: lambda w: partial(_built(w).submit, by=BY),
    Action.ASSISTANT_APPROVE: lambda w: partial(_submitted(w).approve, by=BY),
    Action.ASSISTANT_SEND_BACK: lambda w: partial(_submitted(w).send_back, "why", by=BY),
    Action.ASSISTANT_RETIRE: lambda w: partial(_built(w).retire, by=BY),
    Action.ASSISTANT_PROMOTE: _promote_assistant,
    Action.ASSISTANT_ROLLBACK: lambda w: partial(_answering(w, 2).roll_back, by=BY),
    Action.ASSISTANT_CHALLENGE: _challenge_assistant,
    Action.ASSISTANT_STOP: lambda w: partial(_answering(w, 1).stop, by=BY),
    Action.ASSISTANT_REMOVE: lambda w: partial(_answering(w, 0).remove, by=BY),
    Action.TASK_SET_CREATE: lambda w: lambda: _task_set(w),
    Action.TASK_SET_DELETE: lambda w: partial(_task_set(w).remove, by=BY),
    Action.EVALUATION_CREATE: lambda w: partial(_evaluation, w, _task_set(w)),
    Action.EVALUATION_CANCEL: lambda w: partial(_evaluation(w, _task_set(w)).cancel, by=BY),
    Action.EVALUATION_END: lambda w: partial(_evaluation(w, _task_set(w)).fail, "model_not_found"),
    Action.EVALUATION_DELETE: lambda w: partial(_cancelled(w).remove, by=BY),
    Action.GATE_ADD: lambda w: lambda: _gate(w),
    Action.GATE_REMOVE: lambda w: partial(_gate(w).remove, by=BY),
    Action.MODEL_RESTRICT: lambda w: lambda: model_access.restrict(w.acme, "large", by=BY),
    Action.MODEL_OPEN: lambda w: lambda: model_access.open_to_all(w.acme, "mock", by=BY),
    Action.MODEL_GRANT: lambda w: lambda: model_access.grant(w.restricted, w.key, by=BY),
    Action.MODEL_WITHDRAW: lambda w: lambda: model_access.withdraw(w.restricted, w.team, by=BY),
    Action.MODEL_VERSION_IMPORT: lambda w: lambda: _version(w),
    Action.MODEL_VERSION_READY: lambda w: partial(_version(w).finish, by=BY),
    Action.MODEL_VERSION_FAIL: lambda w: partial(_version(w).fail, "it is broken", by=BY),
    Action.MODEL_VERSION_MARK: lambda w: partial(_version(w).mark, "an erasure", by=BY),
    Action.MODEL_VERSION_PROMOTE: lambda w: partial(
        promote,
        _version(w).finish(by=BY),
        w.engine,
        by=BY,
        changes={"url": "http://127.0.0.1:8/v1"},
    ),
    Action.MODEL_VERSION_DELETE: lambda w: partial(_version(w).delete_files, by=BY),
    Action.API_KEY_CREATE: lambda w: lambda: ApiKey.issue(w.acme, "new", by=BY),
    Action.API_KEY_CHANGE: lambda w: lambda: w.key.change(by=BY, burst=5),
    Action.API_KEY_ROTATE: lambda w: lambda: w.key.rotate(by=BY, overlap=timedelta(hours=1)),
    Action.API_KEY_SCHEDULE: lambda w: partial(w.key.schedule, by=BY, rotate_at=None),
    Action.API_KEY_COLLECT: lambda w: partial(_uncollected(w).collect, by=BY),
    Action.API_KEY_REVOKE: lambda w: lambda: w.key.revoke(by=BY),
    Action.QUOTA_CREATE: lambda w: (
        lambda: Quota.set(w.acme, unit="tokens", window="day", limit=9, by=BY)
    ),
    Action.QUOTA_CHANGE: lambda w: lambda: w.quota.change(20, by=BY),
    Action.QUOTA_DELETE: lambda w: lambda: w.quota.drop(by=BY),
    Action.RAISE_REQUEST: lambda w: (
        lambda: QuotaRaise.ask(w.quota, 1, "more", w.in_two_days(), user=w.bob.user, by=BY)
    ),
    Action.RAISE_APPROVE: lambda w: lambda: w.asked.approve(user=w.bob.user, by=BY),
    Action.RAISE_REFUSE: lambda w: lambda: w.asked.refuse(user=w.bob.user, by=BY),
    Action.PRICE_CHANGE: lambda w: lambda: Price.set("mock", 1, 1, 2, by=BY),
    Action.LINK_CREATE: lambda w: lambda: password_reset.issue_for_member(w.bob, by=BY),
    Action.LINK_USE: lambda w: lambda: w.invitation.use("", PASSWORD),
    Action.LINK_REVOKE: lambda w: lambda: w.invitation.revoke(by=BY),
    Action.OPERATOR_CREATE: lambda w: partial(_first_run(w).use, "new@forebay.example", PASSWORD),
    Action.OPERATOR_REMOVE: lambda w: partial(_second_operator().stop_operating, by=BY),
    Action.MFA_REMOVE: lambda w: lambda: second_factor_policy.reset(w.bob.user, by=BY),
    Action.JOB_PAUSE: lambda w: partial(_job(w).pause, by=BY),
    Action.JOB_RESUME: lambda w: partial(_job(w, JobState.PAUSED).resume, by=BY),
    Action.JOB_CANCEL: lambda w: partial(_job(w).cancel, by=BY),
    Action.JOB_FAIL: lambda w: partial(_job(w).fail, "bad_data", [{"code": "bad_data"}]),
    Action.JOB_SUCCEED: lambda w: _job(w).succeed,
}
SUBJECTS = {"tenant", "tier", "member", "team", "model", "api_key", "quota", "raise", "price"}
SUBJECTS |= {"link", "operator", "pool", "engine", "adapter", "task_set", "evaluation", "gate"}
SUBJECTS |= {"job", "alias", "policy", "action", "assistant"}
SUBJECTS |= {"model_version", "notice", "notice_target"}


def _uncollected(w: Any) -> ApiKey:
    successor: ApiKey = w.key.rotate(by=BY, overlap=timedelta(hours=1))[0]
    successor.uncollected = True
    successor.save()
    return successor


# Of the platform and of pages, not of a verb on a model.
ELSEWHERE = {
    Action.ACTION_READ,
    Action.ADAPTER_REFUSE,
    Action.ENGINE_BREAKER,
    Action.EVALUATION_EXPORT,
    Action.GATE_REFUSE,
    Action.JOB_CREATE,
    Action.MODEL_VERSION_READ,
    Action.MODEL_VERSION_REFUSE,
    Action.QUOTA_REACHED,
    Action.QUOTA_OVERRUN,
    Action.QUOTA_DIFFERENCE,
    Action.OPERATOR_ACCESS,
    Action.ENGINE_TEST,
    Action.TABLE_EXPORT,
}


def everything() -> dict[str, list[Any]]:
    """All rows of all tables but the record's own."""
    models: list[Any] = [
        *apps.get_app_config("tenants").get_models(include_auto_created=True),
        *(Model, Pool, Engine, Adapter, AdapterPromotion, Job),
        *(TaskSet, Evaluation, EvaluationGate, ModelVersion, ModelAlias),
        *(DecisionPolicy, DecisionPolicyVersion),
        *(WebhookAction, ActionCall),
        Group,
    ]
    return {m._meta.label: list(m._default_manager.order_by("pk").values()) for m in models}


def test_no_act_is_left_out() -> None:
    ours = {action for action in Action if action.partition(":")[0] in SUBJECTS}
    assert ours - ELSEWHERE == set(ACTS) - {Action.MFA_REMOVE}


@pytest.mark.parametrize("action", ACTS)
def test_it_is_on_record(world: World, action: Action) -> None:
    act = ACTS[action](world)
    before = Event.objects.filter(action=action).count()
    act()
    assert Event.objects.filter(action=action).count() == before + 1


@pytest.mark.parametrize("action", ACTS)
def test_what_cannot_be_put_on_record_is_not_done(
    world: World, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_fields: Any) -> None:
        raise DatabaseError("no room for another event")

    act = ACTS[action](world)
    before = everything()
    monkeypatch.setattr(Event.objects, "create", full)
    with pytest.raises(DatabaseError, match="no room"):
        act()
    assert everything() == before
