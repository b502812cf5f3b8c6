"""The URLs of /api/v1/. Nearly all are under a tenant, where every query starts."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path

from console.api.access.aliases import Aliases
from console.api.access.keys import Keys
from console.api.access.operator_keys import OperatorKeys
from console.api.access.restricted_models import RestrictedModels
from console.api.access.widget_keys import WidgetKeys
from console.api.actions import ActionCalls, Actions
from console.api.assistants.assistants import Assistants
from console.api.assistants.measures import Comparisons, ServiceDialogues, ServiceFigures
from console.api.assistants.versions import AssistantVersions
from console.api.data_sets.sets import ConversationUses, DataSetNotices, DataSets
from console.api.data_sets.versions import DataSetVersions
from console.api.decisions.policies import DecisionPolicies
from console.api.decisions.reviews import Contests, Reviews
from console.api.decisions.versions import DecisionPolicyVersions
from console.api.document.schema_pages import Docs, Schema
from console.api.evaluations.evaluations import Evaluations
from console.api.evaluations.gates import Gates
from console.api.evaluations.policies import PolicyEvaluations
from console.api.evaluations.task_sets import TaskSets
from console.api.jobs.all_jobs import AllJobs
from console.api.jobs.jobs import JobCheckpoints, JobEvents, JobMetrics, Jobs
from console.api.knowledge.bases import KnowledgeBases
from console.api.knowledge.documents import Documents
from console.api.limits.limits import Limits, Tiers
from console.api.limits.prices import Prices
from console.api.limits.quotas import Notices, Quotas, Raises
from console.api.limits.refusals import Refusals
from console.api.me import Me, Roles
from console.api.models.versions import AllModelVersions, ModelVersions
from console.api.no_route import no_route
from console.api.notices import (
    NoticeDeliveries,
    NoticeTargets,
    PlatformNoticeDeliveries,
    PlatformNoticeTargets,
)
from console.api.people import Invitations, Members, Places, Teams
from console.api.privacy.deletions import Deletions, OwnDeletions
from console.api.privacy.people import People as PeopleByReference
from console.api.privacy.people import PersonExports
from console.api.privacy.retention import LegalHolds, Retention
from console.api.prompts.cache import Cache, CacheRules
from console.api.prompts.templates import Templates, TemplateVersions
from console.api.resource import Resource
from console.api.serving.adapters import Adapters, Promotions
from console.api.serving.breakers import Breakers
from console.api.serving.engines import Engines
from console.api.serving.models import Models
from console.api.serving.pools import Pools
from console.api.serving.queues import OwnQueue, Queues
from console.api.serving.replacements import Replacements
from console.api.tenants import KeyRotations, Tenants
from console.api.trail.audit_exports import AuditExports
from console.api.trail.events import Events, Receipts
from console.api.usage.batches import AllBatches, Batches
from console.api.usage.requests import AnyRequests, OwnRequests, Requests
from console.api.usage.sessions import Sessions
from console.api.usage.usage import AllUsage, Reconciliations, Usage

app_name = "api"
_POLICIES = "decision-policies/"
_POLICY_ACTS = ("promote", "rollback", "challenge", "shadow", "stop")
_POLICY_VERSIONS = "decision-policies/<uuid:policy>/versions/"
_POLICY_VERSION_ACTS = ("submit", "approve", "retire", "calibrate")
_ASSISTANT_VERSIONS = "assistants/<uuid:assistant>/versions/"
_ASSISTANT_ACTS = ("submit", "approve", "retire", "rebuild", "promote", "challenge", "attempt")
_DOCUMENTS = "knowledge-bases/<uuid:knowledge_base>/documents/"
_VERSIONS = "data-sets/<uuid:data_set>/versions/"

_VERBS = {
    "list": "get",
    "create": "post",
    "retrieve": "get",
    "partial_update": "patch",
    "destroy": "delete",
}


def at(route: str, resource: type[Resource], **acts: str) -> URLPattern:
    """Routes HTTP methods to acts: `at("keys/", Keys, get="list", post="create")`."""
    view: Callable[..., HttpResponseBase] = resource.as_view(acts)
    return path(route, view)


def several(route: str, one: str, resource: type[Resource], *posts: str) -> list[URLPattern]:
    """Routes the list and its single rows to those usual acts that the resource has.

    `posts` are further acts on a row, each at a path of its name.
    """
    verbs: dict[str, Any] = {a: v for a, v in _VERBS.items() if a in resource.acts}
    many = {verb: act for act, verb in verbs.items() if act in ("list", "create")}
    single = {verb: act for act, verb in verbs.items() if act not in ("list", "create")}
    row = f"{route}<{one}>/"
    further = [at(f"{row}{act}/", resource, post=act) for act in posts]
    return [at(route, resource, **many), at(row, resource, **single), *further]


_MODEL_FILES = "model-versions/<uuid:model_version>/files/"
_PERSON = "people/<uuid:person>/"
_ACTS_ON_AN_ACTION = ("rotate", "test", "approve_change", "withdraw_change")
in_tenant: list[URLPattern | URLResolver] = [
    at("", Tenants, get="retrieve", patch="partial_update"),
    at("suspend/", Tenants, post="suspend"),
    at("resume/", Tenants, post="resume"),
    at("close/", Tenants, post="close"),
    at("roles/", Roles, get="show"),
    at("limits/", Limits, get="retrieve", patch="partial_update"),
    at("notices/", Notices, get="list"),
    at("queue/", OwnQueue, get="show"),
    *several("data-sets/", "uuid:data_set", DataSets, "select"),
    *several(_VERSIONS, "int:number", DataSetVersions, "pieces", "finish", "samples", "file"),
    *several("knowledge-bases/", "uuid:knowledge_base", KnowledgeBases, "search"),
    *several(_DOCUMENTS, "uuid:document", Documents, "pieces", "finish", "content"),
    at("data-set-notices/", DataSetNotices, get="list"),
    at("conversation-use/", ConversationUses, get="show", patch="partial_update"),
    *several("batches/", "uuid:batch", Batches, "pause", "resume", "cancel"),
    *several("jobs/", "uuid:job", Jobs, "pause", "resume", "cancel"),
    at("jobs/<uuid:job>/events/", JobEvents, get="list"),
    at("jobs/<uuid:job>/metrics/", JobMetrics, get="list"),
    at("jobs/<uuid:job>/checkpoints/", JobCheckpoints, get="list"),
    at("jobs/<uuid:job>/checkpoints/<uuid:checkpoint>/register/", JobCheckpoints, post="register"),
    *several("events/", "int:event", Events),
    *several("audit-exports/", "uuid:audit_export", AuditExports),
    at("audit-exports/<uuid:audit_export>/file/", AuditExports, get="file"),
    at("retention/", Retention, get="show"),
    at("retention/<slug:data_class>/", Retention, get="retrieve", patch="partial_update"),
    at("retention/<slug:data_class>/preview/", Retention, get="preview"),
    *several("holds/", "uuid:hold", LegalHolds, "approve", "renew", "release"),
    at("usage/", Usage, get="report"),
    at("usage/export/", Usage, get="export"),
    at("requests/export/", Requests, get="export"),
    *several("requests/", "uuid:completion", Requests),
    at("own-requests/export/", OwnRequests, get="export"),
    *several("own-requests/", "uuid:completion", OwnRequests),
    at("usage/sessions/", Sessions, get="report"),
    at("usage/sessions/export/", Sessions, get="export"),
    *several("members/", "uuid:member", Members),
    *several("invitations/", "uuid:invitation", Invitations),
    *several("teams/", "uuid:team", Teams),
    *several("teams/<uuid:team>/places/", "uuid:member", Places),
    *several("restricted-models/", "int:model", RestrictedModels, "grant", "withdraw"),
    *several("aliases/", "uuid:alias", Aliases),
    *several("widget-keys/", "uuid:widget_key", WidgetKeys),
    *several("assistants/", "uuid:assistant", Assistants, "rollback", "stop", "unchallenge"),
    at("assistants/<uuid:assistant>/comparison/", Comparisons, get="show"),
    at("service/figures/", ServiceFigures, get="report"),
    at("service/dialogues/", ServiceDialogues, get="list"),
    *several(_ASSISTANT_VERSIONS, "int:number", AssistantVersions, *_ASSISTANT_ACTS),
    at(f"{_ASSISTANT_VERSIONS}<int:number>/send-back/", AssistantVersions, post="send_back"),
    *several("notice-targets/", "uuid:target", NoticeTargets, "rotate", "test"),
    at("notice-deliveries/", NoticeDeliveries, get="list"),
    at("notice-deliveries/<uuid:notice>/", NoticeDeliveries, get="retrieve"),
    at("notice-deliveries/<uuid:notice>/redeliver/", NoticeDeliveries, post="redeliver"),
    at("actions/calls/", ActionCalls, get="list"),
    at("actions/calls/<uuid:call>/", ActionCalls, get="retrieve"),
    at("actions/calls/<uuid:call>/settle/", ActionCalls, post="settle"),
    *several(
        "actions/", "uuid:action", Actions, "rotate", "test", "approve_change", "withdraw_change"
    ),
    *several("templates/", "uuid:template", Templates, "fill"),
    *several("templates/<uuid:template>/versions/", "int:number", TemplateVersions),
    *several(_POLICIES, "uuid:policy", DecisionPolicies, *_POLICY_ACTS),
    *several(_POLICY_VERSIONS, "int:number", DecisionPolicyVersions, *_POLICY_VERSION_ACTS),
    at(f"{_POLICY_VERSIONS}<int:number>/send-back/", DecisionPolicyVersions, post="send_back"),
    *several("adapters/", "uuid:adapter", Adapters, "promote", "rollback", "cancel"),
    at("adapters/<uuid:adapter>/usage/", Adapters, get="usage"),
    at("adapters/<uuid:adapter>/promotions/", Promotions, get="list"),
    *several("task-sets/", "uuid:task_set", TaskSets),
    *several("evaluations/", "uuid:evaluation", Evaluations, "cancel"),
    at("evaluations/<uuid:evaluation>/report/", Evaluations, get="file"),
    *several("policy-evaluations/", "uuid:policy_evaluation", PolicyEvaluations, "cancel"),
    at("policy-evaluations/<uuid:policy_evaluation>/report/", PolicyEvaluations, get="file"),
    *several("model-versions/", "uuid:model_version", ModelVersions),
    at(_MODEL_FILES, ModelVersions, get="files"),
    at(f"{_MODEL_FILES}<int:model_file>/", ModelVersions, get="file"),
    at("cache/", Cache, get="show"),
    at("cache/purge/", Cache, post="purge"),
    *several("cache/rules/", "int:rule", CacheRules),
    *several("keys/", "uuid:key", Keys, "rotate", "schedule", "collect", "revoke"),
    *several("quotas/", "uuid:quota", Quotas),
    at("quotas/<uuid:quota>/standing/", Quotas, get="standing"),
    *several("raises/", "uuid:quota_raise", Raises, "approve", "refuse"),
    *several("refusals/", "slug:refusal", Refusals),
    at("receipts/<uuid:receipt>/", Receipts, get="retrieve"),
    *several("deletion-requests/", "uuid:deletion_request", Deletions, "approve", "refuse", "lift"),
    *several("reviews/", "uuid:review", Reviews, "claim", "give_back", "decide"),
    *several("contests/", "uuid:contest", Contests),
    at("people/find/", PeopleByReference, post="find"),
    at(_PERSON, PeopleByReference, get="retrieve"),
    *several(f"{_PERSON}exports/", "uuid:person_export", PersonExports),
    at(f"{_PERSON}exports/<uuid:person_export>/file/", PersonExports, get="file"),
    *several("key-rotations/", "uuid:rotation", KeyRotations),
    *several("reconciliations/", "int:reconciliation", Reconciliations),
]
urlpatterns = [
    at("me/", Me, get="show"),
    at("tenants/", Tenants, get="list", post="create"),
    path("tenants/<slug:tenant>/", include(in_tenant)),
    at("tiers/", Tiers, get="show_all"),
    at("tiers/<slug:tier>/", Tiers, get="retrieve", patch="partial_update"),
    *several("prices/", "int:price", Prices, "end"),
    *several("models/", "uuid:served_model", Models),
    *several("model-versions/", "uuid:model_version", AllModelVersions, "promote"),
    at(_MODEL_FILES, AllModelVersions, get="files"),
    at(f"{_MODEL_FILES}<int:model_file>/", AllModelVersions, get="file"),
    *several("pools/", "uuid:pool", Pools),
    *several("pools/<uuid:pool>/gates/", "uuid:gate", Gates),
    at("pools/<uuid:pool>/queue/", Queues, get="retrieve"),
    at("pools/<uuid:pool>/queue/lower/", Queues, post="lower"),
    at("pools/<uuid:pool>/queue/cancel/", Queues, post="cancel"),
    *several("batches/", "uuid:any_batch", AllBatches, "pause", "resume", "cancel"),
    *several("jobs/", "uuid:any_job", AllJobs, "pause", "resume", "cancel"),
    *several("engines/", "uuid:engine", Engines, "drain", "resume"),
    at("engines/<uuid:engine>/breaker/", Breakers, get="retrieve", post="override"),
    at("engines/<uuid:engine>/replace/", Replacements, post="create"),
    at("replacements/", Replacements, get="list"),
    at("replacements/<uuid:replacement>/", Replacements, get="retrieve"),
    at("replacements/<uuid:replacement>/cancel/", Replacements, post="cancel"),
    at("replacements/<uuid:replacement>/rollback/", Replacements, post="rollback"),
    *several("deletion-requests/", "uuid:deletion_request", OwnDeletions),
    at("requests/export/", AnyRequests, get="export"),
    *several("requests/", "uuid:completion", AnyRequests),
    at("usage/", AllUsage, get="report"),
    at("usage/export/", AllUsage, get="export"),
    *several("operator-keys/", "uuid:operator_key", OperatorKeys, "revoke"),
    *several("notice-targets/", "uuid:platform_target", PlatformNoticeTargets, "rotate", "test"),
    *several("notice-deliveries/", "uuid:platform_notice", PlatformNoticeDeliveries, "redeliver"),
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", Docs.as_view(), name="docs"),
    re_path("", no_route),
]
