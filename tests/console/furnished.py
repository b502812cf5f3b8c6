"""A tenant with one of everything, and the addresses of all its pages."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from inference.data_sets import importing, uploading
from inference.decisions.spec import packed
from inference.dialogues import handing_over
from inference.models import (
    Adapter,
    Assistant,
    ConversationUse,
    DataSet,
    DataSetFormat,
    DataSetNotice,
    DataSetNoticeKind,
    DataSetVersion,
    DecisionPolicy,
    Document,
    Engine,
    Job,
    KnowledgeBase,
    Model,
    ModelAlias,
    ModelFile,
    ModelVersion,
    Pool,
    PromptTemplate,
    VersionKind,
    WidgetKey,
)
from inference.models.decisions.policy_version import Written
from inference.registry.importing import import_file
from inference.templating.content import Content, TemplateMessage
from inference.templating.variables import Variable
from tenants import model_access
from tenants.models import (
    ApiKey,
    CacheRule,
    Link,
    Member,
    OperatorKey,
    Price,
    Quota,
    QuotaCounter,
    QuotaNotice,
    Reconciliation,
    Team,
)
from tenants.models.link import Purpose
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.operator_scopes import OperatorScope
from tenants.roles import Role
from tests.console.asked import completion, refusal
from tests.console.evaluations.policy_reported import policy_reported
from tests.console.evaluations.reported import reported
from tests.console.inbox.rows import a_call
from tests.console.jobs.rows import a_checkpoint, a_job, learned
from tests.inference.actions.conftest import new_action
from tests.inference.adapters.rows import a_version, serve
from tests.inference.assistants.rows import an_assistant, built
from tests.inference.decisions.specs import payments
from tests.inference.dialogues.measured import ended
from tests.inference.dialogues.rows import a_dialogue, apart

IN_PLATFORM = (
    "/console/",
    "/console/models/",
    "/console/jobs/",
    "/console/pools/",
    "/console/tenants/",
    "/console/usage/",
    "/console/requests/",
    "/console/tiers/",
    "/console/operator-keys/",
    "/console/prices/",
    "/console/raises/",
    "/console/refusals/",
    "/console/reconciliation/",
    "/console/audit/",
    "/console/retention/",
    "/console/holds/",
    "/console/deletions/",
    "/console/compliance/",
    "/console/compliance/checks/data_map/",
)
LISTS = (
    "",
    "usage/",
    "requests/",
    "queue/",
    "keys/",
    "models/",
    "usage/sessions/",
    "aliases/",
    "people/",
    "decisions/reviews/",
    "decisions/contests/",
    "assistants/",
    "assistants/addition/",
    "assistants/figures/",
    "assistants/dialogues/",
    "widget-keys/",
    "inbox/",
    "inbox/calls/",
    "actions/",
    "actions/addition/",
    "actions/calls/",
    "templates/",
    "templates/addition/",
    "policies/",
    "policies/addition/",
    "adapters/",
    "task-sets/",
    "task-sets/addition/",
    "evaluations/",
    "evaluations/addition/",
    "policy-evaluations/",
    "policy-evaluations/addition/",
    "versions/",
    "versions/import/",
    "cache/",
    "data-sets/",
    "knowledge/",
    "jobs/",
    "jobs/addition/",
    "jobs/addition/?kind=quantise",
    "members/",
    "teams/",
    "roles/",
    "limits/",
    "quotas/",
    "raises/",
    "refusals/",
    "deletions/",
    "audit/",
    "audit/exports/",
    "audit/kit/",
    "audit/texts/",
    "retention/",
    "holds/",
    "compliance/",
    "compliance/checks/role_matrix/",
    "settings/",
)


def furnish(owner: Member) -> list[str]:
    """Fills the owner's tenant; every address in it that shows a page."""
    tenant, by = owner.tenant, owner.actor
    completion(tenant, member=owner)
    team = Team.form(tenant, "Risk models of the whole group", by=by)
    team.add(owner, by=by)
    networks = ["10.1.0.0/16", "2001:db8:aaaa:bbbb::/64"]
    name = "a key with quite a long name for a phone"
    key, _ = ApiKey.issue(tenant, name, by=by, team=team, allowed_networks=networks, burst=5)
    walled = model_access.restrict(tenant, "mock", by=by)
    for holder in (team, key):
        model_access.grant(walled, holder, by=by)
    email = "somebody.with.a.long.address@subsidiary.acme.example"
    Link.issue(Purpose.INVITATION, by=by, email=email, tenant=tenant, role=Role.DEVELOPER)
    quota = _quota(owner, key)
    template, adapter = _template(owner), _adapter(owner)
    policy = _policy(owner)
    for name, model in (("claude-sonnet-4-5", "mock"), ("a-name", "a-model-that-is-gone-by-now")):
        ModelAlias.create(tenant, name, model, by=by)
    origins = ["https://shop-with-a-long-name.acme.example", "https://acme.example"]
    WidgetKey.create(tenant, "the widget of the shop", uuid4(), key, origins, by=by)
    evaluation = reported(tenant)
    of_policy = policy_reported(tenant, "card-payments-of-the-whole-group")
    data_set = _data_set(owner)
    jobs = _jobs(owner, data_set)
    CacheRule.set(tenant, on=True, model="a-model-with-quite-a-long-name", by=by, api_key=key)
    engine_room()
    _operator_key(owner)
    found = refusal(tenant, actor=key.actor, tier="quota", quota_id=quota.pk, model="mock")
    _night(owner)
    inside = f"/console/t/{tenant.name}/"
    details = [
        f"keys/{key.pk}/",
        f"members/{owner.pk}/",
        f"teams/{team.pk}/",
        f"versions/{_version(owner).pk}/",
        *_assistant(owner),
        f"templates/{template.pk}/?version=1&against=2",
        f"templates/{template.pk}/edition/",
        f"adapters/{adapter.pk}/",
        *(f"policies/{policy.pk}/{page}" for page in ("", "versions/1/", "versions/2/addition/")),
        *apart(lambda: _service(owner)),
        f"task-sets/{evaluation.task_set_id}/",
        f"evaluations/{evaluation.pk}/",
        f"policy-evaluations/{of_policy.pk}/",
        f"data-sets/{data_set.pk}/",
        f"data-sets/{data_set.pk}/versions/1/",
        f"knowledge/{_knowledge(owner).pk}/",
        *(f"jobs/{job.pk}/" for job in jobs),
        f"quotas/{quota.pk}/",
        f"refusals/{found.pk}/",
    ]
    return [inside + page for page in (*LISTS, *details)]


def _service(owner: Member) -> list[str]:
    """A dialogue that a member has, one that waits, an action and its call. Returns their pages."""
    dialogue = a_dialogue(owner.tenant, "Where is my order with-a-number-that-is-long-for-a-phone?")
    handing_over.take_over(dialogue, owner)
    handing_over.reply(dialogue, "I look.", by=owner.actor)
    handing_over.note(dialogue, "A loyal customer.", by=owner.actor)
    with transaction.atomic():
        waiting = a_dialogue(owner.tenant, "A human, please", person="customer 2")
        handing_over.hand_over(waiting, "asked", by=owner.actor)
    url = "https://shop.example.com/an-address-with-quite-a-long-path-for-a-phone"
    action, _secret = new_action(owner.tenant, url)
    call = a_call(owner.tenant, action=action, dialogue_id=dialogue.pk)
    return [
        f"inbox/{dialogue.pk}/",
        f"inbox/{waiting.pk}/",
        f"inbox/calls/{call.pk}/",
        f"actions/{action.pk}/",
        f"actions/{action.pk}/edition/",
    ]


def _version(owner: Member) -> ModelVersion:
    """One that failed, with a parent and a file."""
    names = {"name": "a-model-with-quite-a-long-name-for-a-phone", "created_by": owner.actor}
    of = {"tenant": owner.tenant, "kind": VersionKind.FULL, **names}
    base = ModelVersion.objects.create(number=1, state="ready", card="A card.", **of)
    version = ModelVersion.objects.create(number=2, state="failed", problem="x is not JSON", **of)
    version.parents.add(base, through_defaults={"tenant": owner.tenant})
    ModelFile.objects.create(
        tenant=owner.tenant, version=version, name="m.gguf", sha256="0" * 64, size=123_456
    )
    return version


def _assistant(owner: Member) -> list[str]:
    """Returns the pages of a built assistant."""
    name = "an-assistant-with-quite-a-long-name-for-a-phone"
    assistant = an_assistant(owner.tenant, owner, name, by=owner.actor)
    built(assistant)
    ended(owner.tenant, assistant.pk, intents=["track"], satisfaction=4)
    Assistant.objects.filter(pk=assistant.pk).update(
        live=1, challenger=2, challenger_share=0.1, challenged_at=timezone.now()
    )
    page = f"assistants/{assistant.pk}/"
    return [page, f"{page}edition/", f"{page}intent/?name=track", f"{page}comparison/"]


def _template(owner: Member) -> PromptTemplate:
    """In two versions."""
    variables = [Variable("document", max_length=4000), Variable("loud", "boolean", default=True)]
    text = "Sum up in one sentence, with a-word-that-is-long-for-a-phone: {{document}} {{loud}}"
    content = Content(messages=[TemplateMessage("user", text)], variables=variables)
    name = "a-template-with-quite-a-long-name-for-a-phone"
    template = PromptTemplate.create(owner.tenant, name, content, by=owner.actor)
    template.publish(Content(prompt="Sum up."), by=owner.actor)
    return template


def _policy(owner: Member) -> DecisionPolicy:
    """Make a policy with a version whose trial failed, and one that decides."""
    fitted = {"method": "platt", "slope": 1.2, "intercept": -3.0, "rows": 900, "positives": 30}
    fitted |= {"model": "deepseek-r1", "model_version": "v1", "fitted_at": "2026-11-30T00:00:00Z"}
    rule = {"input": "amount", "test": "at_least", "value": 500, "outcome": "review"}
    spec = payments(
        model_version="v1",
        calibration=fitted,
        fallback={"kind": "rules", "rules": [rule]},
        second_person={"input": "amount", "sum": 1000},
    )
    written = Written(packed(spec), "deepseek-r1", "v1")
    name = "a-policy-with-quite-a-long-name-for-a-phone"
    policy = DecisionPolicy.create(owner.tenant, name, written, by=owner.actor)
    first, second = policy.versions.get(), policy.write(written, by=owner.actor)
    first.submit(by=owner.actor, caller=owner)
    first.fail_trial("labels_not_likely", likely=["<think>", "a-token-that-is-long"])
    second.submit(by=owner.actor, caller=owner)
    second.pass_trial({"score": 0.25, "both_labels": False})
    second.approve(by="test")
    policy.promote(second, by="test")
    return policy


def _adapter(owner: Member) -> Adapter:
    """One with a version that failed and one that serves, trained on what was erased."""
    adapter = Adapter.create(owner.tenant, "mock", "an-adapter-with-quite-a-long-name", by="test")
    versions = [a_version(owner.tenant, number) for number in (1, 2)]
    adapter.promote(versions[0], by=owner.actor).fail("its server ended with status 1", by="test")
    serve(adapter, versions[1])
    versions[1].mark("trained on data of a person who was erased", by="test")
    return adapter


def _knowledge(owner: Member) -> KnowledgeBase:
    """Make a base with a document that is being read, one that failed and one that is ready."""
    name = "a-knowledge-base-with-quite-a-long-name-for-a-phone"
    base = KnowledgeBase.create(owner.tenant, name, "mock", by=owner.actor)
    states: dict[str, dict[str, Any]] = {
        "embedding": {"passages": 9, "embedded": 4},
        "ready": {"left_out": 2, "url": "https://acme.example/a"},
        "failed": {"problem": "encoding"},
    }
    for state, fields in states.items():
        of = {"tenant": owner.tenant, "base": base, "form": "markdown", "state": state}
        path = f"a-folder/with-a-long-name-{state}-for-a-phone.md"
        Document.objects.create(name=path, created_by="t", **of, **fields)
    return base


def _data_set(owner: Member) -> DataSet:
    """With a version, rows that were left out, and a notice."""
    ConversationUse.of(owner.tenant).change(allowed=True, reason="Works agreement 7", by="test")
    name = "a-data-set-with-quite-a-long-name-for-a-phone"
    data_set = DataSet.create(owner.tenant, name, owner.subject_id, by=owner.actor)
    version = uploading.begin(data_set, DataSetFormat.CHATS, by=owner.actor)
    line = '{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}'
    uploading.add_piece(version, 0, f"{line}\nno JSON\n".encode())
    uploading.finish(version)
    importing.import_due()
    DataSetNotice.objects.create(
        tenant=owner.tenant,
        version=version,
        kind=DataSetNoticeKind.PURGED,
        name=str(version),
        subject_id=owner.subject_id,
        rows=2,
    )
    return data_set


def _jobs(owner: Member, data_set: DataSet) -> list[Job]:
    """One with curves that runs, one that has failed with many words, and one that is paused."""
    version = DataSetVersion.objects.get(data_set=data_set)
    Quota.set(owner.tenant, unit="gpu_seconds", window="month", limit=7200, by="test")
    base = "a-model-with-quite-a-long-name-for-a-phone@1"
    running = a_job(owner.tenant, "running", base=base, data_set_version_id=version.pk)
    learned(running, 12)
    a_checkpoint(running, 10)
    problems = [{"line": n, "code": "x", "message": "this line is not UTF-8"} for n in range(1, 9)]
    failed = a_job(owner.tenant, "failed", reason="invalid_training_file", problems=problems)
    return [running, failed, a_job(owner.tenant, "paused", reason="quota")]


def engine_room() -> Engine:
    """A model from the file, and one that was made here, in two pools. Its engine."""
    import_file()
    model = Model.add("a-model-with-quite-a-long-name-for-a-phone", by="test")
    pool = Pool.add(model, "the-first-pool-of-that-model", by="test")
    Pool.add(model, "the-second-pool-of-that-model", by="test")
    url = "http://gpu-1.a-rack.a-hall.example:8000/v1"
    return Engine.add(pool, "an-engine-of-that-pool", by="test", kind="vllm", url=url)


def _operator_key(maker: Member) -> OperatorKey:
    ends, networks = timezone.now() + timedelta(days=90), ["2001:db8:aaaa:bbbb::/64"]
    name, scopes = "a-pipeline-with-quite-a-long-name-for-a-phone", list(OperatorScope.values)
    key, _text = OperatorKey.issue(
        maker.user, name, scopes=scopes, expires_at=ends, allowed_networks=networks
    )
    return key


def _quota(owner: Member, key: ApiKey) -> Quota:
    at = timezone.now()
    quota = Quota.set(
        owner.tenant, unit="cost", window="month", limit=12_500_000, by="test", api_key=key
    )
    QuotaCounter.objects.filter(quota=quota).update(used=10_400_000, reserved=120_000)
    QuotaNotice.objects.create(tenant=owner.tenant, quota=quota, starts=at, percent=80, at=at)
    QuotaRaise.ask(quota, 500, "month end", at + timedelta(days=3), user=owner.user, by="test")
    return quota


def _night(owner: Member) -> None:
    Price.set("mock", "0.5", "0.05", "1.25", by="test")
    columns = ("requests", "tokens", "cost")
    figures = {f"{name}_{side}": 10**9 for name in columns for side in ("ledger", "usage")}
    now = timezone.now()
    Reconciliation.objects.create(tenant=owner.tenant, day=now.date(), ran_at=now, **figures)
