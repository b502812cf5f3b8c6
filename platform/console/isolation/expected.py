"""The expectations of the proof of isolation: every address of the platform, and who may use it.

Nothing is decided here: pages ask `console/authorization.py`, the management API the `needs` of its
views. A page that is missing here, or an address that decides otherwise, fails the proof.

A page has a permission for seeing and one for acting. ANYBODY needs to be signed in, OPERATORS run
the platform, the PUBLIC need not be signed in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from tenants.models import Scope
from tenants.roles import Permission as P

OPERATORS, ANYBODY, PUBLIC = "operators", "anybody", "public"
Need = P | str


@dataclass(frozen=True, slots=True)
class Page:
    """A page for browsers. `sees` is needed for GET, `acts` for POST; None: no such method."""

    path: str
    sees: Need | None = None
    acts: Need | None = None
    # The act would change things for every later caller: those who may do it are left out.
    once: bool = False
    # There is nothing to see or act on yet: callers who may get 404.
    bare: bool = False
    form: dict[str, str] = field(default_factory=dict)  # fields without which the act is not tried


def _inside(*pages: Page) -> tuple[Page, ...]:
    prefix = "console/t/<slug:tenant>/"
    return tuple(replace(page, path=prefix + page.path) for page in pages)


_BATCH = "console/batches/<uuid:any_batch>/"
_ENGINE = "console/pools/engines/<uuid:engine>/"
_REPLACEMENT = "console/pools/replacements/<uuid:replacement>/"
PAGES: tuple[Page, ...] = (
    # Before and around the console
    Page("", sees=ANYBODY),
    Page("login/", sees=PUBLIC),
    Page("logout/", acts=PUBLIC, once=True),
    Page("login/second-factor/", sees=PUBLIC),
    Page("login/with/<slug:provider_id>/", sees=PUBLIC),
    Page("login/with/<slug:provider_id>/callback/", sees=PUBLIC),
    Page("welcome/<str:token>/", sees=PUBLIC),
    Page("i18n/setlang/", acts=PUBLIC),
    Page("jsi18n/", sees=PUBLIC),
    Page("api/v1/schema/", sees=PUBLIC),
    Page("api/v1/docs/", sees=PUBLIC),
    Page("api/v1/", sees=PUBLIC, acts=PUBLIC),  # nothing is there
    # One's own account
    Page("account/", sees=ANYBODY),
    Page("account/data/", sees=ANYBODY),
    Page("account/data/<uuid:member>/deletion/", acts=ANYBODY, bare=True),
    Page("account/data/<uuid:member>/export/", acts=ANYBODY, bare=True),
    Page("account/data/<uuid:member>/export/<uuid:own_export>/", acts=ANYBODY, bare=True),
    Page("erasure/<str:token>/", sees=PUBLIC),
    Page("account/invitations/<uuid:link>/acceptance/", acts=ANYBODY, bare=True),
    Page("account/sessions/end/", acts=ANYBODY, once=True),
    Page("account/sessions/<int:session>/end/", acts=ANYBODY, once=True),
    Page("account/proof/", sees=ANYBODY),
    Page("account/proof/code/", sees=ANYBODY),
    Page("account/proof/key/", sees=ANYBODY),
    Page("account/password/", sees=ANYBODY),
    Page("account/password/first/", sees=ANYBODY),
    Page("account/two-factor/", sees=ANYBODY),
    Page("account/two-factor/app/", sees=ANYBODY),
    Page("account/two-factor/app/removal/", sees=ANYBODY),
    Page("account/two-factor/keys/new/", sees=ANYBODY),
    Page("account/two-factor/keys/<int:pk>/", acts=ANYBODY, once=True),
    Page("account/two-factor/keys/<int:pk>/removal/", acts=ANYBODY, once=True),
    Page("account/two-factor/codes/", sees=ANYBODY, bare=True),
    Page("account/two-factor/codes/new/", sees=ANYBODY),
    # The whole platform
    Page("console/", sees=ANYBODY),
    Page("console/live/", sees=OPERATORS),
    Page("console/chart/", sees=OPERATORS),
    Page("console/shares/", sees=OPERATORS),
    Page("console/usage/", sees=OPERATORS),
    Page("console/usage/export/", sees=OPERATORS),
    Page("console/requests/", sees=OPERATORS),
    Page("console/batches/", sees=OPERATORS),
    Page(_BATCH + "pause/", acts=OPERATORS, bare=True),
    Page(_BATCH + "resume/", acts=OPERATORS, bare=True),
    Page(_BATCH + "cancel/", acts=OPERATORS, bare=True),
    Page("console/models/", sees=OPERATORS, acts=OPERATORS),
    Page("console/models/live/", sees=OPERATORS),
    Page("console/models/<uuid:served_model>/removal/", acts=OPERATORS, bare=True),
    Page("console/pools/", sees=OPERATORS),
    Page("console/pools/live/", sees=OPERATORS),
    Page("console/pools/<uuid:pool>/queue/", sees=OPERATORS, bare=True),
    Page("console/pools/<uuid:pool>/queue/live/", sees=OPERATORS, bare=True),
    Page("console/pools/<uuid:pool>/queue/lowering/", acts=OPERATORS, bare=True),
    Page("console/pools/<uuid:pool>/queue/cancellation/", acts=OPERATORS, bare=True),
    Page("console/pools/addition/", acts=OPERATORS),
    Page("console/pools/<uuid:pool>/", sees=OPERATORS, acts=OPERATORS, bare=True),
    Page("console/pools/<uuid:pool>/removal/", acts=OPERATORS, bare=True),
    Page("console/pools/<uuid:pool>/moving/", acts=OPERATORS, bare=True),
    Page("console/pools/engines/addition/", acts=OPERATORS),
    Page(_ENGINE, sees=OPERATORS, acts=OPERATORS, bare=True),
    Page(_ENGINE + "live/", sees=OPERATORS, bare=True),
    Page(_ENGINE + "log/", sees=OPERATORS, bare=True),
    Page(_ENGINE + "removal/", acts=OPERATORS, bare=True),
    Page(_ENGINE + "draining/", acts=OPERATORS, bare=True),
    Page(_ENGINE + "resumption/", acts=OPERATORS, bare=True),
    Page(_ENGINE + "breaker/", acts=OPERATORS, bare=True),
    Page(_ENGINE + "version/", sees=OPERATORS, acts=OPERATORS, bare=True),
    Page(_REPLACEMENT, sees=OPERATORS, bare=True),
    Page(_REPLACEMENT + "live/", sees=OPERATORS, bare=True),
    Page(_REPLACEMENT + "cancellation/", acts=OPERATORS, bare=True),
    Page(_REPLACEMENT + "rollback/", acts=OPERATORS, bare=True),
    Page("console/tenants/", sees=OPERATORS, acts=OPERATORS),
    Page("console/tiers/", sees=OPERATORS, acts=OPERATORS, form={"tier": "standard"}),
    Page("console/prices/", sees=OPERATORS, acts=OPERATORS),
    Page("console/prices/<int:price>/ending/", acts=OPERATORS, bare=True),
    Page("console/operator-keys/", sees=OPERATORS, acts=OPERATORS),
    Page("console/operator-keys/<uuid:operator_key>/revocation/", acts=OPERATORS, bare=True),
    Page("console/raises/", sees=OPERATORS),
    Page("console/refusals/", sees=OPERATORS),
    Page("console/refusals/find/", sees=OPERATORS),
    Page("console/reconciliation/", sees=OPERATORS),
    Page("console/keys-at-rest/", sees=OPERATORS),
    Page("console/audit/", sees=OPERATORS),
    Page("console/audit/<int:any_event>/", sees=OPERATORS, bare=True),
    Page("console/retention/", sees=OPERATORS),
    Page("console/holds/", sees=OPERATORS),
    Page("console/compliance/", sees=OPERATORS),
    Page("console/compliance/run/", acts=OPERATORS),
    Page("console/compliance/report/", acts=OPERATORS),
    Page("console/compliance/checks/<slug:check>/", sees=OPERATORS),
    Page("console/deletions/", sees=OPERATORS),
    Page("console/nowhere/", sees=ANYBODY),
    # In a tenant
    *_inside(
        Page("", sees=P.VIEW_USAGE),
        Page("live/", sees=P.VIEW_USAGE),
        Page("chart/", sees=P.VIEW_USAGE),
        Page("shares/", sees=P.VIEW_USAGE),
        Page("usage/", sees=P.VIEW_USAGE),
        Page("usage/export/", sees=P.VIEW_USAGE),
        Page("requests/", sees=P.VIEW_REQUESTS),
        Page("queue/", sees=P.VIEW_REQUESTS),
        Page("queue/live/", sees=P.VIEW_REQUESTS),
        Page("batches/", sees=P.VIEW_REQUESTS),
        Page("batches/<uuid:batch>/", sees=P.VIEW_REQUESTS),
        Page("batches/<uuid:batch>/pause/", acts=P.MANAGE_KEYS),
        Page("batches/<uuid:batch>/resume/", acts=P.MANAGE_KEYS),
        Page("batches/<uuid:batch>/cancel/", acts=P.MANAGE_KEYS),
        Page("batches/<uuid:batch>/download/", acts=P.VIEW_PROMPTS),
        Page("keys/", sees=P.VIEW_KEYS, acts=P.MANAGE_KEYS),
        Page("keys/<uuid:key>/", sees=P.VIEW_KEYS, acts=P.MANAGE_KEYS),
        Page("keys/<uuid:key>/rotation/", acts=P.MANAGE_KEYS),
        Page("keys/<uuid:key>/revocation/", acts=P.MANAGE_KEYS),
        Page("models/", sees=P.VIEW_TEAMS),
        Page("models/restriction/", acts=P.MANAGE_TEAMS, bare=True),
        Page("models/opening/", acts=P.MANAGE_TEAMS, bare=True),
        Page("models/granting/", acts=P.MANAGE_TEAMS, bare=True),
        Page("models/withdrawal/", acts=P.MANAGE_TEAMS, bare=True),
        Page("templates/", sees=P.VIEW_TEMPLATES),
        Page("templates/addition/", sees=P.MANAGE_TEMPLATES, acts=P.MANAGE_TEMPLATES),
        Page("templates/<uuid:template>/", sees=P.VIEW_TEMPLATES),
        Page(
            "templates/<uuid:template>/edition/",
            sees=P.MANAGE_TEMPLATES,
            acts=P.MANAGE_TEMPLATES,
        ),
        Page("templates/<uuid:template>/versions/<int:number>/trial/", acts=P.VIEW_TEMPLATES),
        Page("templates/<uuid:template>/removal/", acts=P.MANAGE_TEMPLATES),
        Page("cache/", sees=P.VIEW_USAGE),
        Page("cache/rules/", acts=P.MANAGE_QUOTAS),
        Page("cache/rules/<int:rule>/removal/", acts=P.MANAGE_QUOTAS),
        Page("cache/purge/", acts=P.MANAGE_QUOTAS),
        Page("members/", sees=P.VIEW_MEMBERS),
        Page("members/invitation/", acts=P.MANAGE_MEMBERS),
        Page("members/links/<uuid:link>/revocation/", acts=P.MANAGE_MEMBERS),
        Page("members/<uuid:member>/", sees=P.VIEW_MEMBERS),
        Page("members/<uuid:member>/role/", acts=P.MANAGE_MEMBERS),
        Page("members/<uuid:member>/reset-link/", acts=P.MANAGE_MEMBERS),
        Page("members/<uuid:member>/texts/release/", acts=OPERATORS),
        Page("members/<uuid:member>/removal/", acts=P.MANAGE_MEMBERS),
        Page("teams/", sees=P.VIEW_TEAMS, acts=P.MANAGE_TEAMS),
        Page("teams/<uuid:team>/", sees=P.VIEW_TEAMS, acts=P.MANAGE_TEAMS),
        Page("teams/<uuid:team>/disbanding/", acts=P.MANAGE_TEAMS),
        Page("teams/<uuid:team>/joining/", acts=P.MANAGE_TEAMS),
        Page("teams/<uuid:team>/members/<uuid:member>/leaving/", acts=P.MANAGE_TEAMS),
        Page("roles/", sees=P.VIEW_MEMBERS),
        Page("audit/", sees=P.VIEW_AUDIT),
        Page("audit/<int:event>/", sees=P.VIEW_AUDIT),
        Page("audit/texts/", sees=P.VIEW_PROMPTS, acts=P.VIEW_PROMPTS),
        Page("audit/texts/<uuid:completion>/", sees=P.VIEW_PROMPTS, acts=P.VIEW_PROMPTS, bare=True),
        Page("audit/exports/", sees=P.EXPORT_AUDIT, acts=P.EXPORT_AUDIT),
        Page("audit/exports/<uuid:audit_export>/file/", acts=P.EXPORT_AUDIT, bare=True),
        Page("audit/exports/<uuid:audit_export>/drop/", acts=P.EXPORT_AUDIT),
        Page("retention/", sees=P.VIEW_AUDIT, acts=P.MANAGE_RETENTION),
        Page("holds/", sees=P.VIEW_AUDIT, acts=P.MANAGE_HOLDS),
        Page("holds/<uuid:hold>/approval/", acts=P.MANAGE_HOLDS),
        Page("holds/<uuid:hold>/renewal/", acts=P.MANAGE_HOLDS),
        Page("holds/<uuid:hold>/release/", acts=P.MANAGE_HOLDS),
        Page("compliance/", sees=P.VIEW_COMPLIANCE),
        Page("compliance/run/", acts=P.VIEW_COMPLIANCE),
        Page("compliance/report/", acts=P.VIEW_COMPLIANCE),
        Page("compliance/checks/<slug:check>/", sees=P.VIEW_COMPLIANCE),
        Page("limits/", sees=P.VIEW_LIMITS),
        Page("quotas/", sees=P.VIEW_LIMITS, acts=P.MANAGE_QUOTAS),
        Page("quotas/<uuid:quota>/", sees=P.VIEW_LIMITS, acts=P.MANAGE_QUOTAS),
        Page("quotas/<uuid:quota>/drop/", acts=P.MANAGE_QUOTAS),
        Page("quotas/<uuid:quota>/raise/", acts=P.MANAGE_QUOTAS),
        Page("raises/", sees=P.VIEW_LIMITS),
        Page("raises/<uuid:quota_raise>/approval/", acts=P.APPROVE_RAISES),
        Page("raises/<uuid:quota_raise>/refusal/", acts=P.APPROVE_RAISES),
        Page("refusals/", sees=P.VIEW_LIMITS),
        Page("refusals/find/", sees=P.VIEW_LIMITS),
        Page("deletions/", sees=P.MANAGE_DELETIONS, acts=P.MANAGE_DELETIONS),
        Page("deletions/<uuid:deletion>/", sees=P.MANAGE_DELETIONS),
        Page("deletions/<uuid:deletion>/approval/", acts=P.MANAGE_DELETIONS),
        Page("deletions/<uuid:deletion>/refusal/", acts=P.MANAGE_DELETIONS),
        Page("deletions/<uuid:deletion>/lifting/", acts=P.MANAGE_DELETIONS),
        Page("deletions/<uuid:deletion>/certificate/", sees=P.MANAGE_DELETIONS, bare=True),
        Page("refusals/<uuid:refusal>/", sees=P.VIEW_LIMITS),
        Page("settings/", sees=P.VIEW_MEMBERS, acts=P.MANAGE_SECURITY),
        Page("settings/suspension/", acts=OPERATORS, once=True),
        Page("settings/resumption/", acts=OPERATORS, once=True),
        Page("settings/closure/", acts=OPERATORS, once=True),
    ),
    # The chat: the conversation is the person's own
    Page("chat/", sees=P.CHAT),
    Page("chat/conversations/", sees=P.CHAT),
    Page("chat/c/<uuid:conversation>/", sees=P.CHAT),
    Page("chat/c/<uuid:conversation>/messages/", sees=P.CHAT),
    Page("chat/c/<uuid:conversation>/title/", acts=P.CHAT, form={"title": "x"}),
    Page("chat/c/<uuid:conversation>/deletion/", acts=P.CHAT),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint for programs. `scope` is the scope that the key needs."""

    path: str
    method: str
    scope: Scope
    answers: tuple[int, ...] = (200,)  # to a key of the tenant that has the scope
    also: Scope | None = None  # another scope that opens it


V1: tuple[Endpoint, ...] = (
    Endpoint("/v1/chat/completions", "POST", Scope.INFERENCE, (400,)),  # the body is empty
    Endpoint("/v1/completions", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/inference", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/models", "GET", Scope.INFERENCE),
    Endpoint("/v1/user/balance", "GET", Scope.INFERENCE),
    Endpoint("/user/balance", "GET", Scope.INFERENCE),
    Endpoint("/v1/models/<str:name>", "GET", Scope.INFERENCE, (404,)),  # no such model
    Endpoint("/v1/completions/<uuid:completion>/events", "GET", Scope.INFERENCE),
    *(
        Endpoint(path, method, Scope.INFERENCE, answers, also=Scope.BATCH)
        for path, method, answers in (
            ("/v1/files", "GET", (200,)),
            ("/v1/files", "POST", (400,)),  # the body is empty
            ("/v1/files/file-<uuid:file>", "GET", (200, 404)),  # whose key has not stored it
            ("/v1/files/file-<uuid:file>/content", "GET", (200, 404)),
            ("/v1/files/file-<uuid:file>", "DELETE", (200, 404)),
            ("/v1/uploads", "POST", (400,)),
            ("/v1/uploads/upload_<uuid:file>/parts", "POST", (404,)),  # it is a file
            ("/v1/uploads/upload_<uuid:file>/complete", "POST", (404,)),
            ("/v1/uploads/upload_<uuid:file>/cancel", "POST", (404,)),
            ("/v1/batches", "GET", (200,)),
            ("/v1/batches", "POST", (400,)),
            ("/v1/batches/batch_<uuid:batch>", "GET", (200, 404)),
            ("/v1/batches/batch_<uuid:batch>/cancel", "POST", (200, 404)),
        )
    ),
)
SOCKETS = ("ws/chat/",)


@cache
def addresses() -> dict[str, Any]:
    """Returns the addresses of Django's URLconf: path -> view."""
    return dict(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path, pattern.callback


# The management API: every address of its URLs that is no page. Its views name methods and needs
# (console/api/acts.py), which decide who may do what in the own tenant; that nobody may in
# another one is expected here. A view without needs fails the walk.
_PATHS = {page.path for page in PAGES}
API = tuple(path for path in addresses() if path.startswith("api/v1/") and path not in _PATHS)
