"""Every URL of the console, every role: who gets in. A URL missing from the table fails."""

import uuid
from collections.abc import Callable, Iterator
from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import caches
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from audit.models import Event, Export
from audit.retention import legal_hold
from console import urls
from console.isolation import sample_decision
from inference.data_sets import uploading
from inference.decisions.spec import packed
from inference.knowledge import uploading as knowledge_uploading
from inference.models import (
    Adapter,
    Contest,
    DataSet,
    DataSetFormat,
    Decision,
    DecisionPolicy,
    DocumentFormat,
    KnowledgeBase,
    ModelAlias,
    ModelVersion,
    PromptTemplate,
    VersionKind,
    WidgetKey,
)
from inference.models.decisions.policy_version import Written
from inference.templating.content import Content
from tenants import model_access
from tenants.models import (
    ApiKey,
    CacheRule,
    Link,
    Member,
    NoticeState,
    NoticeTarget,
    Person,
    Quota,
    Team,
    Tenant,
    User,
)
from tenants.models.link import Purpose
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.notices.trial import send_test
from tenants.roles import Role
from tests.console.asked import completion, refusal
from tests.console.conftest import SignIn
from tests.console.evaluations.policy_reported import policy_reported
from tests.console.evaluations.reported import reported
from tests.console.inbox.rows import a_call
from tests.console.jobs.rows import a_checkpoint, a_job
from tests.inference.actions.conftest import new_action
from tests.inference.assistants.rows import an_assistant
from tests.inference.decisions.specs import payments
from tests.inference.dialogues.rows import a_dialogue

ROLES = ("operator", "alice", "erin", "bob", "carol", "dave")
EVERYBODY = frozenset(ROLES)
STAFF = EVERYBODY - {"dave"}
OPERATOR = frozenset({"operator"})
OWNERS = frozenset({"operator", "alice"})
MANAGERS = OWNERS | {"erin"}
AUDITORS = MANAGERS | {"carol"}
OWNER = frozenset({"alice"})
READERS = frozenset({"alice", "carol"})
AGENTS = frozenset({"alice"})
MAKERS = MANAGERS | {"bob"}
WRITERS = frozenset({"alice", "erin", "bob"})
CHATTERS = WRITERS | {"dave"}
APPROVERS = frozenset({"alice", "erin"})
SEE_TEMPLATES = WRITERS | {"carol"}
SEE_VERSIONS = SEE_TEMPLATES | {"operator"}

Row = tuple[str, str, frozenset[str], int]
Found = dict[tuple[str, str], int | str]
Targets = dict[str, dict[str, Any]]
TO_SIGN_IN = "the sign-in"
IN_TENANT: list[Row] = [
    ("get", "overview", STAFF, 200),
    ("get", "live", STAFF, 200),
    ("get", "chart", STAFF, 200),
    ("get", "shares", STAFF, 200),
    ("get", "trends", STAFF, 200),
    ("get", "requests", STAFF, 200),
    ("get", "requests_export", STAFF, 200),
    ("get", "request", STAFF, 200),
    ("get", "playground", WRITERS, 200),
    ("post", "playground_code", WRITERS, 200),
    ("get", "own_requests", CHATTERS, 200),
    ("get", "own_request", CHATTERS, 404),
    ("get", "own_queue", STAFF, 200),
    ("get", "own_queue_live", STAFF, 200),
    ("get", "batches", STAFF, 200),
    ("get", "usage", STAFF, 200),
    ("get", "usage_export", STAFF, 200),
    ("get", "api_keys", STAFF, 200),
    ("post", "api_keys", MAKERS, 200),
    ("get", "api_key", STAFF, 200),
    ("post", "api_key", MAKERS, 200),
    ("post", "rotation", MAKERS, 200),
    ("post", "key_schedule", MAKERS, 200),
    ("post", "key_collection", MAKERS, 302),
    ("post", "revocation", MAKERS, 302),
    ("get", "models", STAFF, 200),
    ("post", "restriction", MANAGERS, 302),
    ("post", "opening", MANAGERS, 302),
    ("post", "granting", MANAGERS, 302),
    ("post", "withdrawal", MANAGERS, 302),
    ("get", "sessions", STAFF, 200),
    ("get", "sessions_export", STAFF, 200),
    ("get", "reviews", STAFF, 200),
    ("get", "review", OWNER, 200),
    ("post", "review_claim", OWNER, 302),
    ("post", "review_return", OWNER, 302),
    ("post", "review_explanation", OWNER, 302),
    ("post", "review_decision", OWNER, 200),
    ("get", "contests", STAFF, 200),
    ("post", "contests", OWNER, 200),
    ("get", "people", AUDITORS, 200),
    ("post", "people", AUDITORS, 200),
    ("get", "person", AUDITORS, 200),
    ("post", "person_deletion", MANAGERS, 200),
    ("post", "person_export", READERS, 302),
    ("post", "person_export_download", READERS, 404),
    ("get", "widget_keys", STAFF, 200),
    ("post", "widget_key_addition", MAKERS, 200),
    ("post", "widget_key_change", MAKERS, 200),
    ("post", "widget_key_revocation", MAKERS, 302),
    ("get", "inbox", AGENTS, 200),
    ("get", "inbox_list", AGENTS, 200),
    ("get", "inbox_dialogue", AGENTS, 200),
    ("get", "inbox_live", AGENTS, 200),
    ("post", "inbox_taking", AGENTS, 302),
    ("post", "inbox_return", AGENTS, 302),
    ("post", "inbox_resolution", AGENTS, 302),
    ("post", "inbox_transfer", AGENTS, 200),
    ("post", "inbox_reply", AGENTS, 422),
    ("post", "inbox_note", AGENTS, 422),
    ("get", "unsettled_calls", AGENTS, 200),
    ("get", "action_call", AGENTS, 200),
    ("post", "call_settlement", AGENTS, 302),
    ("get", "actions", STAFF, 200),
    ("get", "action_calls", STAFF, 200),
    ("get", "action", STAFF, 200),
    ("get", "action_addition", WRITERS, 200),
    ("post", "action_addition", WRITERS, 200),
    ("get", "action_edition", WRITERS, 200),
    ("post", "action_edition", WRITERS, 200),
    ("post", "action_approval", APPROVERS, 302),
    ("post", "action_withdrawal", WRITERS, 302),
    ("post", "action_rotation", WRITERS, 200),
    ("post", "action_trial", WRITERS, 200),
    ("post", "action_removal", WRITERS, 302),
    ("get", "notices", APPROVERS, 200),
    ("get", "notice_target_addition", APPROVERS, 200),
    ("post", "notice_target_addition", APPROVERS, 200),
    ("get", "notice_deliveries", APPROVERS, 200),
    ("post", "notice_redelivery", APPROVERS, 302),
    ("get", "notice_target", APPROVERS, 200),
    ("post", "notice_target", APPROVERS, 200),
    ("post", "notice_target_rotation", APPROVERS, 200),
    ("post", "notice_target_trial", APPROVERS, 302),
    ("post", "notice_target_removal", APPROVERS, 302),
    ("get", "aliases", STAFF, 200),
    ("post", "alias_addition", MANAGERS, 200),
    ("post", "alias_change", MANAGERS, 200),
    ("post", "alias_removal", MANAGERS, 302),
    ("get", "assistants", SEE_TEMPLATES, 200),
    ("get", "service_figures", SEE_TEMPLATES, 200),
    ("get", "dialogues", SEE_TEMPLATES, 200),
    ("get", "assistant_addition", WRITERS, 200),
    ("post", "assistant_addition", WRITERS, 200),
    ("get", "assistant", SEE_TEMPLATES, 200),
    ("get", "assistant_comparison", SEE_TEMPLATES, 200),
    ("get", "assistant_live", SEE_TEMPLATES, 200),
    ("get", "assistant_edition", WRITERS, 200),
    ("post", "assistant_edition", WRITERS, 200),
    ("get", "assistant_intent", WRITERS, 200),
    ("post", "assistant_intent", WRITERS, 200),
    ("post", "assistant_attempt", SEE_TEMPLATES, 200),
    ("post", "assistant_review", APPROVERS, 302),
    ("post", "assistant_change", WRITERS, 302),
    ("post", "assistant_switch", WRITERS, 302),
    ("get", "prompt_templates", SEE_TEMPLATES, 200),
    ("get", "prompt_template_addition", WRITERS, 200),
    ("post", "prompt_template_addition", WRITERS, 200),
    ("get", "prompt_template", SEE_TEMPLATES, 200),
    ("get", "prompt_template_edition", WRITERS, 200),
    ("post", "prompt_template_edition", WRITERS, 200),
    ("post", "prompt_template_trial", SEE_TEMPLATES, 200),
    ("post", "prompt_template_removal", WRITERS, 302),
    ("get", "decision_policies", SEE_TEMPLATES, 200),
    ("get", "decision_policy_addition", WRITERS, 200),
    ("post", "decision_policy_addition", WRITERS, 200),
    ("get", "decision_policy", SEE_TEMPLATES, 200),
    ("post", "decision_policy_promotion", WRITERS, 200),
    ("post", "decision_policy_challenge", WRITERS, 200),
    ("post", "decision_policy_shadow", WRITERS, 302),
    ("post", "decision_policy_rollback", WRITERS, 302),
    ("post", "decision_policy_stop", WRITERS, 302),
    ("post", "decision_policy_removal", WRITERS, 302),
    ("get", "decision_policy_version", SEE_TEMPLATES, 200),
    ("get", "decision_policy_version_addition", WRITERS, 200),
    ("post", "decision_policy_version_addition", WRITERS, 200),
    ("post", "decision_policy_submission", WRITERS, 302),
    ("post", "decision_policy_approval", APPROVERS, 302),
    ("post", "decision_policy_return", APPROVERS, 302),
    ("post", "decision_policy_retirement", WRITERS, 302),
    ("get", "knowledge_bases", SEE_TEMPLATES, 200),
    ("post", "knowledge_addition", WRITERS, 200),
    ("get", "knowledge_base", SEE_TEMPLATES, 200),
    ("post", "knowledge_question", SEE_TEMPLATES, 200),
    ("post", "knowledge_upload", WRITERS, 200),
    ("post", "knowledge_uploads", WRITERS, 409),
    ("post", "knowledge_pieces", WRITERS, 400),
    ("post", "knowledge_removal", WRITERS, 302),
    ("post", "knowledge_deletion", WRITERS, 302),
    ("get", "adapters", STAFF, 200),
    ("post", "adapter_addition", MAKERS, 200),
    ("get", "adapter", STAFF, 200),
    ("post", "adapter_promotion", MAKERS, 200),
    ("post", "adapter_rollback", MAKERS, 302),
    ("post", "adapter_cancellation", MAKERS, 302),
    ("post", "adapter_removal", MAKERS, 302),
    ("get", "task_sets", SEE_TEMPLATES, 200),
    ("get", "task_set_addition", WRITERS, 200),
    ("post", "task_set_addition", WRITERS, 200),
    ("get", "task_set", SEE_TEMPLATES, 200),
    ("post", "task_set_removal", WRITERS, 302),
    ("get", "evaluations", SEE_TEMPLATES, 200),
    ("get", "evaluation_addition", WRITERS, 200),
    ("post", "evaluation_addition", WRITERS, 200),
    ("get", "evaluation", SEE_TEMPLATES, 200),
    ("get", "evaluation_live", SEE_TEMPLATES, 200),
    ("post", "evaluation_cancellation", WRITERS, 302),
    ("post", "evaluation_removal", WRITERS, 302),
    ("post", "evaluation_file", SEE_TEMPLATES, 200),
    ("get", "policy_evaluations", SEE_TEMPLATES, 200),
    ("get", "policy_evaluation_addition", WRITERS, 200),
    ("post", "policy_evaluation_addition", WRITERS, 200),
    ("get", "policy_evaluation", SEE_TEMPLATES, 200),
    ("get", "policy_evaluation_live", SEE_TEMPLATES, 200),
    ("post", "policy_evaluation_cancellation", WRITERS, 302),
    ("post", "policy_evaluation_removal", WRITERS, 302),
    ("post", "policy_evaluation_file", SEE_TEMPLATES, 200),
    ("get", "model_versions", SEE_VERSIONS, 200),
    ("get", "model_version", SEE_VERSIONS, 200),
    ("get", "model_version_import", WRITERS, 200),
    ("post", "model_version_import", WRITERS, 200),
    ("post", "model_version_removal", WRITERS, 302),
    ("post", "model_uploads", WRITERS, 200),
    ("post", "model_upload_pieces", WRITERS, 404),
    ("get", "data_sets", STAFF, 200),
    ("post", "data_set_addition", WRITERS, 200),
    ("post", "conversation_use", OWNERS, 200),
    ("get", "data_set", STAFF, 200),
    ("post", "data_set_upload", WRITERS, 200),
    ("post", "data_set_selection", READERS, 200),
    ("get", "data_set_version", STAFF, 200),
    ("post", "data_set_pieces", WRITERS, 400),
    ("post", "data_set_samples", READERS, 200),
    ("post", "data_set_download", READERS, 200),
    ("post", "data_set_version_deletion", WRITERS, 302),
    ("post", "data_set_deletion", WRITERS, 302),
    ("get", "jobs", STAFF, 200),
    ("get", "job_addition", MAKERS, 200),
    ("post", "job_addition", MAKERS, 200),
    ("get", "job_estimate", MAKERS, 200),
    ("get", "job", STAFF, 200),
    ("get", "job_curves", STAFF, 200),
    ("post", "job_pause", MAKERS, 302),
    ("post", "job_resume", MAKERS, 302),
    ("post", "job_cancel", MAKERS, 302),
    ("post", "job_checkpoint_registration", MAKERS, 302),
    ("get", "cache", STAFF, 200),
    ("post", "cache_rule", MANAGERS, 200),
    ("post", "cache_rule_drop", MANAGERS, 302),
    ("post", "cache_purge", MANAGERS, 302),
    ("get", "members", STAFF, 200),
    ("post", "invitation", MANAGERS, 200),
    ("get", "invitations", MANAGERS, 200),
    ("post", "invitations", MANAGERS, 200),
    ("post", "link_revocation", MANAGERS, 302),
    ("get", "member", STAFF, 200),
    ("post", "role", MANAGERS, 200),
    ("post", "reset_link", MANAGERS, 200),
    ("post", "texts_release", OPERATOR, 302),
    ("post", "removal", MANAGERS, 302),
    ("get", "search", STAFF, 200),
    ("post", "team_budget", MANAGERS, 200),
    ("get", "teams", STAFF, 200),
    ("post", "teams", MANAGERS, 200),
    ("get", "team", STAFF, 200),
    ("post", "team", MANAGERS, 200),
    ("post", "joining", MANAGERS, 200),
    ("post", "leaving", MANAGERS, 302),
    ("post", "disbanding", MANAGERS, 302),
    ("get", "roles", STAFF, 200),
    ("get", "audit", AUDITORS, 200),
    ("get", "audit_event", AUDITORS, 200),
    ("get", "text_search", READERS, 200),
    ("post", "text_search", READERS, 200),
    ("get", "text_view", READERS, 200),
    ("post", "text_view", READERS, 200),
    ("get", "audit_exports", AUDITORS, 200),
    ("get", "audit_kit", AUDITORS, 200),
    ("get", "audit_kit_file", AUDITORS, 200),
    ("get", "audit_kit_witness", AUDITORS, 404),  # of no time
    ("post", "audit_exports", AUDITORS, 200),
    ("post", "audit_export_file", AUDITORS, 404),  # nothing has been made
    ("post", "audit_export_drop", AUDITORS, 302),
    ("get", "retention", AUDITORS, 200),
    ("post", "retention", OWNERS, 200),
    ("get", "legal_holds", AUDITORS, 200),
    ("post", "legal_holds", AUDITORS, 200),
    ("post", "hold_approval", AUDITORS, 302),
    ("post", "hold_renewal", AUDITORS, 302),
    ("post", "hold_release", AUDITORS, 302),
    ("get", "compliance", AUDITORS, 200),
    ("get", "check", AUDITORS, 200),
    ("post", "check_run", AUDITORS, 302),
    ("post", "compliance_report", AUDITORS, 200),
    ("get", "limits", STAFF, 200),
    ("post", "limits", OPERATOR, 200),  # the empty form comes back with its errors
    ("get", "quotas", STAFF, 200),
    ("post", "quotas", MANAGERS, 200),
    ("get", "quota", STAFF, 200),
    ("post", "quota", MANAGERS, 200),
    ("post", "quota_drop", MANAGERS, 302),
    ("post", "raise_request", MANAGERS, 200),
    ("get", "raises", STAFF, 200),
    ("post", "raise_approval", MANAGERS, 302),
    ("post", "raise_refusal", MANAGERS, 302),
    ("get", "refusals", STAFF, 200),
    ("get", "refusal_search", STAFF, 302),
    ("get", "refusal", STAFF, 200),
    ("get", "tenant_settings", STAFF, 200),
    ("post", "tenant_settings", OWNERS, 200),
    ("post", "suspension", OPERATOR, 200),
    ("post", "resumption", OPERATOR, 302),
    ("post", "closure", OPERATOR, 200),
]
PLATFORM: list[Row] = [
    ("get", "platform_live", OPERATOR, 200),
    ("get", "platform_chart", OPERATOR, 200),
    ("get", "platform_shares", OPERATOR, 200),
    ("get", "platform_trends", OPERATOR, 200),
    ("get", "all_requests", OPERATOR, 200),
    ("get", "all_requests_export", OPERATOR, 200),
    ("get", "all_batches", OPERATOR, 200),
    ("get", "all_jobs", OPERATOR, 200),
    ("get", "all_usage", OPERATOR, 200),
    ("get", "all_usage_export", OPERATOR, 200),
    ("get", "tenants", OPERATOR, 200),
    ("post", "tenants", OPERATOR, 200),
    ("get", "all_audit", OPERATOR, 200),
    ("get", "all_retention", OPERATOR, 200),
    ("get", "all_holds", OPERATOR, 200),
    ("get", "all_compliance", OPERATOR, 200),
    ("post", "all_check_run", OPERATOR, 302),
    ("post", "all_compliance_report", OPERATOR, 200),
    ("get", "operator_keys", OPERATOR, 200),
    ("get", "platform_notices", OPERATOR, 200),
    ("get", "platform_notice_target_addition", OPERATOR, 200),
    ("post", "platform_notice_target_addition", OPERATOR, 200),
    ("get", "platform_notice_deliveries", OPERATOR, 200),
    ("get", "notice_mails", OPERATOR, 200),
    ("get", "tiers", OPERATOR, 200),
    ("get", "prices", OPERATOR, 200),
    ("post", "prices", OPERATOR, 200),
    ("get", "all_raises", OPERATOR, 200),
    ("get", "all_refusals", OPERATOR, 200),
    ("get", "all_refusal_search", OPERATOR, 302),
    ("get", "reconciliations", OPERATOR, 200),
    ("get", "all_search", OPERATOR, 200),
    ("get", "model_addition", OPERATOR, 200),
    ("post", "model_addition", OPERATOR, 200),
    ("post", "connection_test", OPERATOR, 200),
    ("get", "served_models", OPERATOR, 200),
    ("post", "served_models", OPERATOR, 200),
    ("get", "served_models_live", OPERATOR, 200),
    ("get", "all_model_versions", OPERATOR, 200),
    ("get", "all_model_version_import", OPERATOR, 200),
    ("post", "all_model_version_import", OPERATOR, 200),
    ("get", "pools", OPERATOR, 200),
    ("get", "pools_live", OPERATOR, 200),
    ("post", "pool_addition", OPERATOR, 200),
    ("post", "engine_addition", OPERATOR, 200),
]
ALSO_SHOWN = {"api_keys", "api_key", "teams", "team", "limits", "quotas", "quota"}
ALSO_SHOWN |= {"tenant_settings", "text_search", "text_view", "audit_exports", "retention"}
ALSO_SHOWN |= {"model_version_import", "people", "contests"}
ALSO_SHOWN |= {"model_version_import", "action_addition", "action_edition"}
ALSO_SHOWN |= {"legal_holds", "prompt_template_addition", "prompt_template_edition"}
ALSO_SHOWN |= {"decision_policy_addition", "decision_policy_version_addition"}
ALSO_SHOWN |= {"assistant_addition", "assistant_edition", "assistant_intent"}
ALSO_SHOWN |= {"task_set_addition", "evaluation_addition", "job_addition"}
ALSO_SHOWN |= {"policy_evaluation_addition", "invitations"}
ALSO_SHOWN |= {"notice_target", "notice_target_addition"}
POST_ONLY = sorted({name for method, name, *_ in IN_TENANT if method == "post"} - ALSO_SHOWN)
ELSEWHERE = {"home", "platform", "no_tenant", "sign_in", "sign_out", "welcome"}  # own tests
ELSEWHERE |= {"account", "session_end", "other_sessions_end", "all_check", "all_audit_event"}
ELSEWHERE |= {"acceptance"}
# tests/tenants/notices/test_links.py, tests/console/notices, and the walk of tests/isolation
ELSEWHERE |= {"forgotten", "waiting", "notice_preferences", "platform_notice_redelivery"}
ELSEWHERE |= {f"platform_notice_target{act}" for act in ("", "_rotation", "_trial", "_removal")}
# tests/console/access/test_operator_keys.py, and the walk of tests/isolation
ELSEWHERE |= {"operator_key_revocation"}
# tests/console/test_drill_reports.py, and the walk of tests/isolation
ELSEWHERE |= {"all_drills"}
# tests/console/privacy/test_deletions.py, test_keys_at_rest.py, tests/console/backups, and the walk
# of tests/isolation
ELSEWHERE |= {"deletions", "deletion", "deletion_approval", "deletion_refusal", "certificate"}
ELSEWHERE |= {"deletion_lifting", "price_ending"}
ELSEWHERE |= {"audit_kit_certificate"}  # tests/console/privacy/test_audit_kit.py
ELSEWHERE |= {"own_data", "own_deletion", "own_export", "own_export_download", "followed"}
ELSEWHERE |= {"all_deletions", "keys_at_rest", "backups"}
# tests/console/registry
ELSEWHERE |= {"any_model_version", "any_model_version_removal", "model_version_promotion"}
# tests/console/serving
ELSEWHERE |= {"served_model_removal", "pool_removal", "pool_moving", "engine", "engine_removal"}
ELSEWHERE |= {"engine_draining", "engine_resumption", "engine_breaker", "engine_log"}
ELSEWHERE |= {"engine_live", "pool"}
ELSEWHERE |= {"new_version", "replacement", "replacement_live", "replacement_cancellation"}
ELSEWHERE |= {"replacement_rollback"}
ELSEWHERE |= {"gates", "gate_removal"}  # tests/console/evaluations
ELSEWHERE |= {"queue", "queue_live", "queue_lowering", "queue_cancellation"}
ELSEWHERE |= {"all_batch_pause", "all_batch_resume", "all_batch_cancel"}
ELSEWHERE |= {"any_job_pause", "any_job_resume", "any_job_cancel"}  # tests/console/jobs
# tests/console/usage/test_batches.py, and the walk of tests/isolation
ELSEWHERE |= {"batch", "batch_pause", "batch_resume", "batch_cancel", "batch_download"}


def _alias(tenant: Tenant) -> dict[str, uuid.UUID]:
    return {"alias": ModelAlias.create(tenant, "sonnet", "mock", by="t").pk}


def _policy(tenant: Tenant) -> Targets:
    written = Written(packed(payments()), "mock")
    policy = {"policy": DecisionPolicy.create(tenant, "payments", written, by="t").pk}
    version = {**policy, "number": 1}
    acts = ("promotion", "challenge", "shadow", "rollback", "stop", "removal")
    of_version = ("version_addition", "submission", "approval", "return", "retirement")
    return {
        "decision_policy": policy,
        "decision_policy_version": version,
        **{f"decision_policy_{act}": policy for act in acts},
        **{f"decision_policy_{act}": version for act in of_version},
    }


def _person(tenant: Tenant) -> Targets:
    person = {"person": Person.objects.of(tenant.id, "customer 1").pk}
    pages = dict.fromkeys(("person", "person_deletion", "person_export"), person)
    return {**pages, "person_export_download": {**person, "person_export": uuid.uuid4()}}


def _review(tenant: Tenant) -> Targets:
    decision = sample_decision.made(tenant, None, "secret", 1, by="t")
    contest = Contest.begin(Decision.objects.get(pk=decision), "", by="t")
    verbs = ("", "_claim", "_return", "_explanation", "_decision")
    return {f"review{verb}": {"review": contest.review_id} for verb in verbs}


def _widget_key(tenant: Tenant, key: ApiKey) -> dict[str, uuid.UUID]:
    origins = ["https://shop.example"]
    row = WidgetKey.create(tenant, "shop", uuid.uuid4(), key, origins, by="t")
    return {"widget_key": row.pk}


_VERBS_OF_AN_ACTION = (
    *("", "_edition", "_approval", "_withdrawal"),
    *("_rotation", "_trial", "_removal"),
)


def _notices(tenant: Tenant) -> Targets:
    target = NoticeTarget(tenant=tenant, kind="webhook", name="ops", groups=["quotas"])
    target.create("https://hooks.example.com/", by="t")
    notice = send_test(target, by="t")
    notice.end(NoticeState.FAILED)
    acts = ("", "_rotation", "_trial", "_removal")
    pages = {f"notice_target{act}": {"target": target.pk} for act in acts}
    return {**pages, "notice_redelivery": {"notice": notice.pk}}


def _service(tenant: Tenant) -> Targets:
    action, _secret = new_action(tenant, "https://shop.example.com/")
    call = a_call(tenant)
    dialogue = {"dialogue": a_dialogue(tenant, "Hello").pk}
    verbs = ("dialogue", "live", "taking", "return", "resolution", "transfer", "reply", "note")
    return {
        **{f"inbox_{verb}": dialogue for verb in verbs},
        **{name: {"call": call.pk} for name in ("action_call", "call_settlement")},
        **{f"action{verb}": {"action": action.pk} for verb in _VERBS_OF_AN_ACTION},
    }


@pytest.fixture
def targets(acme: Tenant) -> Targets:
    """What the URLs that name an object point at."""
    key, _ = ApiKey.issue(acme, "ci", by="test")
    leaver = acme.add_member(User.objects.create_user("leaver@acme.example"), Role.MEMBER, by="t")
    member, team = {"member": leaver.pk}, {"team": Team.form(acme, "risk", by="t").pk}
    quota = Quota.set(acme, unit="requests", window="day", limit=10, by="t")
    soon = timezone.now() + timedelta(days=1)
    asked = QuotaRaise.ask(quota, 5, "month end", soon, user=leaver.user, by="t")
    Link.issue(Purpose.INVITATION, by="t", email="new@acme.example", tenant=acme, role=Role.MEMBER)
    prompt = PromptTemplate.create(acme, "greeting", Content(prompt="Hello"), by="t")
    template = {"template": prompt.pk}
    adapter = {"adapter": Adapter.create(acme, "mock", "support", by="t").pk}
    objects: Targets = {
        **dict.fromkeys(("api_key", "rotation", "revocation", "key_schedule"), {"key": key.pk}),
        **dict.fromkeys(("member", "role", "reset_link", "texts_release", "removal"), member),
        "key_collection": {"key": key.pk},
        **dict.fromkeys(("team", "team_budget", "joining", "disbanding"), team),
        **dict.fromkeys(("quota", "quota_drop", "raise_request"), {"quota": quota.pk}),
        **dict.fromkeys(("raise_approval", "raise_refusal"), {"quota_raise": asked.pk}),
        **{f"prompt_template{verb}": template for verb in ("", "_edition", "_removal")},
        **{f"model_version{verb}": _version(acme) for verb in ("", "_removal")},
        "model_upload_pieces": {"upload": uuid.uuid4()},
        "prompt_template_trial": {**template, "number": 1},
        **{f"adapter{verb}": adapter for verb in ("", "_promotion", "_rollback", "_cancellation")},
        "adapter_removal": adapter,
        **_assistant(acme, key),
        **dict.fromkeys(("alias_change", "alias_removal"), _alias(acme)),
        **_policy(acme),
        **_person(acme),
        **_review(acme),
        **dict.fromkeys(("widget_key_change", "widget_key_revocation"), _widget_key(acme, key)),
        **_service(acme),
        **_notices(acme),
        **_evaluations(acme),
        **_data_set(acme),
        **_knowledge(acme, key),
        **_job(acme),
        "cache_rule_drop": {"rule": CacheRule.set(acme, on=True, by="t").pk},
        "leaving": {**member, **team},
        "check": {"check": "aead"},
        **_trail(acme),
        "link_revocation": {"link": Link.objects.get().pk},
        "refusal": {"refusal": refusal(acme, actor=key.actor).pk},
        **dict.fromkeys(("request", "own_request"), {"completion": completion(acme).pk}),
    }
    return objects


def _assistant(tenant: Tenant, key: ApiKey) -> Targets:
    assistant: dict[str, Any] = {"assistant": an_assistant(tenant, key).pk}
    plain = ("", "_comparison", "_edition", "_intent", "_switch")
    verbs = ("_live", "_attempt", "_review", "_change")
    return {
        **{f"assistant{verb}": assistant for verb in plain},
        **{f"assistant{verb}": {**assistant, "number": 1} for verb in verbs},
    }


def _evaluations(tenant: Tenant) -> Targets:
    row = reported(tenant)
    evaluation, task_set = {"evaluation": row.pk}, {"task_set": row.task_set_id}
    verbs = ("", "_live", "_cancellation", "_removal", "_file")
    return {
        **{f"evaluation{verb}": evaluation for verb in verbs},
        **{f"task_set{verb}": task_set for verb in ("", "_removal")},
        **{f"policy_evaluation{verb}": _policy_evaluation(tenant) for verb in verbs},
    }


def _policy_evaluation(tenant: Tenant) -> dict[str, Any]:
    return {"policy_evaluation": policy_reported(tenant, f"p{uuid.uuid4().hex[:8]}").pk}


def _version(tenant: Tenant) -> dict[str, Any]:
    fields = {"tenant": tenant, "name": "own", "kind": VersionKind.BASE, "created_by": "t"}
    number = ModelVersion.objects.count() + 1
    return {"model_version": ModelVersion.objects.create(number=number, **fields).pk}


def _knowledge(tenant: Tenant, key: ApiKey) -> Targets:
    base = KnowledgeBase.create(tenant, "manual", "mock", by="t")
    form = DocumentFormat.TEXT
    document = knowledge_uploading.begin(base, "a.txt", form, caller=key, by="t")
    named = {"knowledge_base": base.pk}
    of_base = ("base", "question", "upload", "uploads", "deletion")
    of_document = {**named, "document": document.pk}
    return {
        **{f"knowledge_{name}": named for name in of_base},
        **{f"knowledge_{name}": of_document for name in ("pieces", "removal")},
    }


def _data_set(tenant: Tenant) -> Targets:
    """A data set with a version that takes pieces."""
    data_set = DataSet.create(tenant, "manual", uuid.uuid4(), by="t")
    version = uploading.begin(data_set, DataSetFormat.TEXTS, by="t")
    named = {"data_set": data_set.pk}
    numbered = {**named, "number": version.number}
    of_version = ("version", "pieces", "samples", "download", "version_deletion")
    return {
        **dict.fromkeys(("data_set", "data_set_upload", "data_set_selection"), named),
        "data_set_deletion": named,
        **{f"data_set_{name}": numbered for name in of_version},
    }


def _job(tenant: Tenant) -> Targets:
    row = a_job(tenant)
    job = {"job": row.pk}
    checkpoint = {**job, "checkpoint": a_checkpoint(row, 2).pk}
    verbs = ("", "_curves", "_pause", "_resume", "_cancel")
    return {
        **{f"job{verb}": job for verb in verbs},
        "job_checkpoint_registration": checkpoint,
    }


def _trail(tenant: Tenant) -> Targets:
    """An event with a request id, a file and a hold."""
    now, soon = timezone.now(), timezone.now() + timedelta(days=1)
    request = uuid.uuid4()
    same = {"tenant_id": tenant.id, "actor": "key:x"}
    event = Event.objects.create(at=now, action="completion:received", request_id=request, **same)
    export = Export.objects.create(
        kind="audit", state="ready", asked={"form": "csv"}, expires_at=soon, **same
    )
    hold = legal_hold.request(tenant.id, by="t", reason="case", expires_at=soon)
    files = ("audit_export_file", "audit_export_drop")
    return {
        "audit_event": {"event": event.pk},
        "text_view": {"completion": request},
        **dict.fromkeys(files, {"audit_export": export.pk}),
        **{f"hold_{verb}": {"hold": hold.pk} for verb in ("approval", "renewal", "release")},
    }


@pytest.fixture
def filled(acme: Tenant, targets: Targets) -> Targets:
    """What is sent where an empty form would not even be looked at."""
    model_access.restrict(acme, "walled", by="t")
    holder = f"team:{targets['team']['team']}"
    return {
        "restriction": {"model": "mock"},
        "opening": {"model": "walled"},
        "granting": {"model": "walled", "holder": holder},
        "withdrawal": {"model": "walled", "holder": holder},
    }


def url(name: str, tenant: str = "acme", **targets: Any) -> str:
    return reverse(f"console:{name}", kwargs={"tenant": tenant, **targets})


def test_the_table_names_every_url() -> None:
    named = {row[1] for row in IN_TENANT + PLATFORM} | ELSEWHERE
    assert set(_names(urls.urlpatterns)) == named


class Door:
    """Asks for one address after another, and undoes what each request has done."""

    def __init__(self, client: Client, targets: Targets, filled: Targets) -> None:
        self._client, self._targets, self._filled = client, targets, filled

    def in_tenant(self, rows: list[Row], tenant: str = "acme") -> Found:
        return self._answers(rows, lambda name: url(name, tenant, **self._targets.get(name, {})))

    def on_platform(self, rows: list[Row]) -> Found:
        return self._answers(rows, lambda name: reverse(f"console:{name}"))

    def _answers(self, rows: list[Row], address: Callable[[str], str]) -> Found:
        return {(row[0], row[1]): self._answer(row[0], row[1], address(row[1])) for row in rows}

    def _answer(self, method: str, name: str, path: str) -> int | str:
        """Its status, or that it is the way to the sign-in."""
        client = Client()
        client.cookies = copy(self._client.cookies)
        caches["process"].clear()
        with transaction.atomic():
            answer = getattr(client, method)(path, self._filled.get(name))
            transaction.set_rollback(True)
        to = answer.headers.get("Location", "")
        return TO_SIGN_IN if to.startswith("/login/") else int(answer.status_code)


@pytest.fixture
def door(sign_in: SignIn, targets: Targets, filled: Targets) -> Callable[..., Door]:
    def opened(who: Member | User | None = None) -> Door:
        client = sign_in(who) if who else Client()
        client.get("/account/")  # what is written down once a minute: not undone, and not again
        return Door(client, targets, filled)

    return opened


def as_said(rows: list[Row], role: str) -> Found:
    return {
        (method, name): status if role in allowed else 403 for method, name, allowed, status in rows
    }


@pytest.mark.soak("carol")
@pytest.mark.soak("erin")
@pytest.mark.parametrize("role", ROLES)
def test_in_the_tenant(
    request: pytest.FixtureRequest, door: Callable[..., Door], role: str
) -> None:
    found = door(request.getfixturevalue(role)).in_tenant(IN_TENANT)
    assert found == as_said(IN_TENANT, role)


@pytest.mark.soak("carol")
@pytest.mark.soak("erin")
@pytest.mark.parametrize("role", ROLES)
def test_platform(request: pytest.FixtureRequest, door: Callable[..., Door], role: str) -> None:
    found = door(request.getfixturevalue(role)).on_platform(PLATFORM)
    assert found == as_said(PLATFORM, role)


def test_a_strangers_tenant_does_not_exist(charlie: Member, door: Callable[..., Door]) -> None:
    asking = door(charlie)
    nothing = {(method, name): 404 for method, name, *_ in IN_TENANT}
    assert asking.in_tenant(IN_TENANT) == nothing
    assert asking.in_tenant(IN_TENANT, "nowhere") == nothing


def test_nobody_gets_in_without_signing_in(door: Callable[..., Door]) -> None:
    asking = door()
    found = {**asking.in_tenant(IN_TENANT), **asking.on_platform(PLATFORM)}
    assert found == {(method, name): TO_SIGN_IN for method, name, *_ in IN_TENANT + PLATFORM}


def test_an_object_of_another_tenant_cannot_be_reached_through_ones_own(
    alice: Member, charlie: Member, globex: Tenant, sign_in: SignIn
) -> None:
    key, _ = ApiKey.issue(globex, "theirs", by="test")
    client = sign_in(alice)
    assert client.post(url("revocation", key=key.pk)).status_code == 404
    assert client.post(url("removal", member=charlie.pk)).status_code == 404
    assert client.post(url("removal", member=uuid.uuid4())).status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None
    assert Member.objects.filter(pk=charlie.pk).exists()


def test_changes_come_by_post_only(alice: Member, door: Callable[..., Door]) -> None:
    rows: list[Row] = [("get", name, STAFF, 405) for name in POST_ONLY]
    assert door(alice).in_tenant(rows) == as_said(rows, "alice")


def test_a_browser_that_reloads_a_form_s_address_gets_its_page(
    alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    answer = client.get(url("invitation"), headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer["Location"]) == (302, url("members"))
    assert client.put(url("invitation"), headers={"Accept": "text/html"}).status_code == 405


def test_signing_out_comes_by_post_only(alice: Member, sign_in: SignIn) -> None:
    assert sign_in(alice).get("/logout/").status_code == 405


def test_changes_need_the_csrf_token(alice: Member) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, "allauth.account.auth_backends.AuthenticationBackend")
    answer = client.post(url("api_keys"), {"name": "x", "days": "90"})
    assert answer.status_code == 403
    assert "form was not accepted" in answer.content.decode()


def test_a_wrong_word_fails_as_the_urls_load() -> None:
    from console.authorization import permitted

    with pytest.raises(ValueError, match="not a valid Permission"):
        permitted("keys:frobnicate")  # type: ignore[arg-type]


def _names(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name
