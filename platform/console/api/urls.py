"""The URLs of /api/v1/. Nearly all are under a tenant, where every query starts."""

from collections.abc import Callable
from typing import Any

from django.http import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path

from console.api.access.key_rotations import KeyRotations
from console.api.access.keys import Keys
from console.api.access.operator_keys import OperatorKeys
from console.api.access.served_models import Models
from console.api.limits.limits import Limits, Tiers
from console.api.limits.prices import Prices
from console.api.limits.quotas import Notices, Quotas
from console.api.limits.raises import Raises
from console.api.limits.reconciliations import Reconciliations
from console.api.limits.refusals import Refusals
from console.api.me import Me
from console.api.no_route import no_route
from console.api.people.invitations import Invitations
from console.api.people.members import Members
from console.api.people.teams import Places, Teams
from console.api.privacy.deletions import Deletions, OwnDeletions
from console.api.privacy.legal_holds import LegalHolds
from console.api.privacy.retention import Retention
from console.api.prompts.cache import Cache, CacheRules
from console.api.prompts.templates import Templates, TemplateVersions
from console.api.resource import Resource
from console.api.roles import Roles
from console.api.schema_pages import Docs, Schema
from console.api.serving.breakers import Breakers
from console.api.serving.engines import Engines
from console.api.serving.models import RestrictedModels
from console.api.serving.pools import Pools
from console.api.serving.queues import OwnQueue, Queues
from console.api.serving.replacements import Replacements
from console.api.tenants import Tenants
from console.api.trail.audit_exports import AuditExports
from console.api.trail.events import Events
from console.api.trail.receipts import Receipts
from console.api.usage.batches import AllBatches, Batches
from console.api.usage.usage import AllUsage, Usage

app_name = "api"

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


def several(route: str, one: str, resource: type[Resource]) -> list[URLPattern]:
    """Routes the list and its single rows to those usual acts that the resource has."""
    verbs: dict[str, Any] = {a: v for a, v in _VERBS.items() if a in resource.needs}
    many = {verb: act for act, verb in verbs.items() if act in ("list", "create")}
    single = {verb: act for act, verb in verbs.items() if act not in ("list", "create")}
    return [at(route, resource, **many), at(f"{route}<{one}>/", resource, **single)]


in_tenant: list[URLPattern | URLResolver] = [
    at("", Tenants, get="retrieve", patch="partial_update"),
    at("suspend/", Tenants, post="suspend"),
    at("resume/", Tenants, post="resume"),
    at("close/", Tenants, post="close"),
    at("roles/", Roles, get="show"),
    at("limits/", Limits, get="retrieve", patch="partial_update"),
    at("notices/", Notices, get="list"),
    at("queue/", OwnQueue, get="show"),
    *several("batches/", "uuid:batch", Batches),
    at("batches/<uuid:batch>/pause/", Batches, post="pause"),
    at("batches/<uuid:batch>/resume/", Batches, post="resume"),
    at("batches/<uuid:batch>/cancel/", Batches, post="cancel"),
    *several("events/", "int:event", Events),
    *several("audit-exports/", "uuid:audit_export", AuditExports),
    at("audit-exports/<uuid:audit_export>/file/", AuditExports, get="file"),
    at("retention/", Retention, get="show"),
    at("retention/<slug:data_class>/", Retention, get="retrieve", patch="partial_update"),
    at("retention/<slug:data_class>/preview/", Retention, get="preview"),
    *several("holds/", "uuid:hold", LegalHolds),
    at("holds/<uuid:hold>/approve/", LegalHolds, post="approve"),
    at("holds/<uuid:hold>/renew/", LegalHolds, post="renew"),
    at("holds/<uuid:hold>/release/", LegalHolds, post="release"),
    at("usage/", Usage, get="report"),
    at("usage/export/", Usage, get="export"),
    *several("members/", "uuid:member", Members),
    *several("invitations/", "uuid:invitation", Invitations),
    *several("teams/", "uuid:team", Teams),
    *several("teams/<uuid:team>/places/", "uuid:member", Places),
    *several("restricted-models/", "int:model", RestrictedModels),
    at("restricted-models/<int:model>/grant/", RestrictedModels, post="grant"),
    at("restricted-models/<int:model>/withdraw/", RestrictedModels, post="withdraw"),
    *several("templates/", "uuid:template", Templates),
    at("templates/<uuid:template>/fill/", Templates, post="fill"),
    *several("templates/<uuid:template>/versions/", "int:number", TemplateVersions),
    at("cache/", Cache, get="show"),
    at("cache/purge/", Cache, post="purge"),
    *several("cache/rules/", "int:rule", CacheRules),
    *several("keys/", "uuid:key", Keys),
    at("keys/<uuid:key>/rotate/", Keys, post="rotate"),
    at("keys/<uuid:key>/revoke/", Keys, post="revoke"),
    *several("quotas/", "uuid:quota", Quotas),
    at("quotas/<uuid:quota>/standing/", Quotas, get="standing"),
    *several("raises/", "uuid:quota_raise", Raises),
    at("raises/<uuid:quota_raise>/approve/", Raises, post="approve"),
    at("raises/<uuid:quota_raise>/refuse/", Raises, post="refuse"),
    *several("refusals/", "slug:refusal", Refusals),
    at("receipts/<uuid:receipt>/", Receipts, get="retrieve"),
    *several("deletion-requests/", "uuid:deletion_request", Deletions),
    at("deletion-requests/<uuid:deletion_request>/approve/", Deletions, post="approve"),
    at("deletion-requests/<uuid:deletion_request>/refuse/", Deletions, post="refuse"),
    at("deletion-requests/<uuid:deletion_request>/lift/", Deletions, post="lift"),
    *several("key-rotations/", "uuid:rotation", KeyRotations),
    *several("reconciliations/", "int:reconciliation", Reconciliations),
]
urlpatterns = [
    at("me/", Me, get="show"),
    at("tenants/", Tenants, get="list", post="create"),
    path("tenants/<slug:tenant>/", include(in_tenant)),
    at("tiers/", Tiers, get="show_all"),
    at("tiers/<slug:tier>/", Tiers, get="retrieve", patch="partial_update"),
    *several("prices/", "int:price", Prices),
    at("prices/<int:price>/end/", Prices, post="end"),
    *several("models/", "uuid:served_model", Models),
    *several("pools/", "uuid:pool", Pools),
    at("pools/<uuid:pool>/queue/", Queues, get="retrieve"),
    at("pools/<uuid:pool>/queue/lower/", Queues, post="lower"),
    at("pools/<uuid:pool>/queue/cancel/", Queues, post="cancel"),
    *several("batches/", "uuid:any_batch", AllBatches),
    at("batches/<uuid:any_batch>/pause/", AllBatches, post="pause"),
    at("batches/<uuid:any_batch>/resume/", AllBatches, post="resume"),
    at("batches/<uuid:any_batch>/cancel/", AllBatches, post="cancel"),
    *several("engines/", "uuid:engine", Engines),
    at("engines/<uuid:engine>/drain/", Engines, post="drain"),
    at("engines/<uuid:engine>/resume/", Engines, post="resume"),
    at("engines/<uuid:engine>/breaker/", Breakers, get="retrieve", post="override"),
    at("engines/<uuid:engine>/replace/", Replacements, post="create"),
    at("replacements/", Replacements, get="list"),
    at("replacements/<uuid:replacement>/", Replacements, get="retrieve"),
    at("replacements/<uuid:replacement>/cancel/", Replacements, post="cancel"),
    at("replacements/<uuid:replacement>/rollback/", Replacements, post="rollback"),
    *several("deletion-requests/", "uuid:deletion_request", OwnDeletions),
    at("usage/", AllUsage, get="report"),
    at("usage/export/", AllUsage, get="export"),
    *several("operator-keys/", "uuid:operator_key", OperatorKeys),
    at("operator-keys/<uuid:operator_key>/revoke/", OperatorKeys, post="revoke"),
    path("schema/", Schema.as_view(), name="schema"),
    path("docs/", Docs.as_view(), name="docs"),
    re_path("", no_route),
]
