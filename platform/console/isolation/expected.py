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
class ExpectedPage:
    """A page for browsers. `sees` is needed for GET, `acts` for POST; None: no such method."""

    path: str
    sees: Need | None = None
    acts: Need | None = None
    # The act would change things for every later caller: those who may do it are left out.
    once: bool = False
    # There is nothing to see or act on yet: callers who may get 404.
    bare: bool = False
    form: dict[str, str] = field(default_factory=dict)  # fields without which the act is not tried


def _inside(*pages: ExpectedPage) -> tuple[ExpectedPage, ...]:
    prefix = "console/t/<slug:tenant>/"
    return tuple(replace(page, path=prefix + page.path) for page in pages)


_ANY_JOB = "console/jobs/<uuid:any_job>/"
_BATCH = "console/batches/<uuid:any_batch>/"
_ASSISTANT = "assistants/<uuid:assistant>/"
_ASSISTANT_VERSION = _ASSISTANT + "versions/<int:number>/"
_DATA_SET = "data-sets/<uuid:data_set>/"
_DATA_SET_VERSION = _DATA_SET + "versions/<int:number>/"
_KNOWLEDGE = "knowledge/<uuid:knowledge_base>/"
_DOCUMENT = _KNOWLEDGE + "documents/<uuid:document>/"
_ENGINE = "console/pools/engines/<uuid:engine>/"
_GATES = "console/pools/<uuid:pool>/gates/"
_JOB = "jobs/<uuid:job>/"
_POLICY = "policies/<uuid:policy>/"
_POLICY_VERSION = _POLICY + "versions/<int:number>/"
_PERSON = "people/<uuid:person>/"
_REPLACEMENT = "console/pools/replacements/<uuid:replacement>/"
_REVIEW = "decisions/reviews/<uuid:review>/"
_VERSION = "versions/<uuid:model_version>/"
PAGES: tuple[ExpectedPage, ...] = (
    # Before and around the console
    ExpectedPage("", sees=ANYBODY),
    ExpectedPage("login/", sees=PUBLIC),
    ExpectedPage("login/forgotten/", sees=PUBLIC, bare=True),
    ExpectedPage("account/waiting/", sees=ANYBODY),
    ExpectedPage("account/notices/", sees=ANYBODY, acts=ANYBODY),
    ExpectedPage("console/notices/", sees=OPERATORS),
    ExpectedPage("console/notices/addition/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/notices/deliveries/", sees=OPERATORS),
    ExpectedPage("console/notices/deliveries/<uuid:notice>/redelivery/", acts=OPERATORS, bare=True),
    ExpectedPage("console/notices/mails/", sees=OPERATORS),
    ExpectedPage("console/notices/<uuid:target>/", sees=OPERATORS, acts=OPERATORS, bare=True),
    ExpectedPage("console/notices/<uuid:target>/rotation/", acts=OPERATORS, bare=True),
    ExpectedPage("console/notices/<uuid:target>/trial/", acts=OPERATORS, bare=True),
    ExpectedPage("console/notices/<uuid:target>/removal/", acts=OPERATORS, bare=True),
    ExpectedPage("logout/", acts=PUBLIC, once=True),
    ExpectedPage("login/second-factor/", sees=PUBLIC),
    ExpectedPage("login/with/<slug:provider_id>/", sees=PUBLIC),
    ExpectedPage("login/with/<slug:provider_id>/callback/", sees=PUBLIC),
    ExpectedPage("welcome/<str:token>/", sees=PUBLIC),
    ExpectedPage("i18n/setlang/", acts=PUBLIC),
    ExpectedPage("jsi18n/", sees=PUBLIC),
    ExpectedPage("api/v1/schema/", sees=PUBLIC),
    ExpectedPage("api/v1/docs/", sees=PUBLIC),
    ExpectedPage("v1/docs", sees=PUBLIC),
    ExpectedPage("api/v1/", sees=PUBLIC, acts=PUBLIC),  # nothing is there
    # One's own account
    ExpectedPage("account/", sees=ANYBODY),
    ExpectedPage("account/data/", sees=ANYBODY),
    ExpectedPage("account/data/<uuid:member>/deletion/", acts=ANYBODY, bare=True),
    ExpectedPage("account/data/<uuid:member>/export/", acts=ANYBODY, bare=True),
    ExpectedPage("account/data/<uuid:member>/export/<uuid:own_export>/", acts=ANYBODY, bare=True),
    ExpectedPage("erasure/<str:token>/", sees=PUBLIC),
    ExpectedPage("account/invitations/<uuid:link>/acceptance/", acts=ANYBODY, bare=True),
    ExpectedPage("account/sessions/end/", acts=ANYBODY, once=True),
    ExpectedPage("account/sessions/<int:session>/end/", acts=ANYBODY, once=True),
    ExpectedPage("account/proof/", sees=ANYBODY),
    ExpectedPage("account/proof/code/", sees=ANYBODY),
    ExpectedPage("account/proof/key/", sees=ANYBODY),
    ExpectedPage("account/password/", sees=ANYBODY),
    ExpectedPage("account/password/first/", sees=ANYBODY),
    ExpectedPage("account/two-factor/", sees=ANYBODY),
    ExpectedPage("account/two-factor/app/", sees=ANYBODY),
    ExpectedPage("account/two-factor/app/removal/", sees=ANYBODY),
    ExpectedPage("account/two-factor/keys/new/", sees=ANYBODY),
    ExpectedPage("account/two-factor/keys/<int:pk>/", acts=ANYBODY, once=True),
    ExpectedPage("account/two-factor/keys/<int:pk>/removal/", acts=ANYBODY, once=True),
    ExpectedPage("account/two-factor/codes/", sees=ANYBODY, bare=True),
    ExpectedPage("account/two-factor/codes/new/", sees=ANYBODY),
    # The whole platform
    ExpectedPage("console/", sees=ANYBODY),
    ExpectedPage("console/live/", sees=OPERATORS),
    ExpectedPage("console/chart/", sees=OPERATORS),
    ExpectedPage("console/shares/", sees=OPERATORS),
    ExpectedPage("console/search/", sees=OPERATORS),
    ExpectedPage("console/trends/", sees=OPERATORS),
    ExpectedPage("console/usage/", sees=OPERATORS),
    ExpectedPage("console/usage/export/", sees=OPERATORS),
    ExpectedPage("console/requests/", sees=OPERATORS),
    ExpectedPage("console/requests/export/", sees=OPERATORS),
    ExpectedPage("console/batches/", sees=OPERATORS),
    ExpectedPage(_BATCH + "pause/", acts=OPERATORS, bare=True),
    ExpectedPage(_BATCH + "resume/", acts=OPERATORS, bare=True),
    ExpectedPage(_BATCH + "cancel/", acts=OPERATORS, bare=True),
    ExpectedPage("console/jobs/", sees=OPERATORS),
    ExpectedPage(_ANY_JOB + "pause/", acts=OPERATORS, bare=True),
    ExpectedPage(_ANY_JOB + "resume/", acts=OPERATORS, bare=True),
    ExpectedPage(_ANY_JOB + "cancel/", acts=OPERATORS, bare=True),
    ExpectedPage("console/models/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/models/addition/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/models/addition/test/", acts=OPERATORS),
    ExpectedPage("console/models/live/", sees=OPERATORS),
    ExpectedPage("console/models/<uuid:served_model>/removal/", acts=OPERATORS, bare=True),
    ExpectedPage("console/versions/", sees=OPERATORS),
    ExpectedPage("console/versions/import/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/" + _VERSION, sees=OPERATORS, bare=True),
    ExpectedPage("console/" + _VERSION + "removal/", acts=OPERATORS, bare=True),
    ExpectedPage("console/" + _VERSION + "promotion/", acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/", sees=OPERATORS),
    ExpectedPage("console/pools/live/", sees=OPERATORS),
    ExpectedPage("console/pools/<uuid:pool>/queue/", sees=OPERATORS, bare=True),
    ExpectedPage("console/pools/<uuid:pool>/queue/live/", sees=OPERATORS, bare=True),
    ExpectedPage("console/pools/<uuid:pool>/queue/lowering/", acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/<uuid:pool>/queue/cancellation/", acts=OPERATORS, bare=True),
    ExpectedPage(_GATES, sees=OPERATORS, acts=OPERATORS, bare=True),
    ExpectedPage(_GATES + "<uuid:gate>/removal/", acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/addition/", acts=OPERATORS),
    ExpectedPage("console/pools/<uuid:pool>/", sees=OPERATORS, acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/<uuid:pool>/removal/", acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/<uuid:pool>/moving/", acts=OPERATORS, bare=True),
    ExpectedPage("console/pools/engines/addition/", acts=OPERATORS),
    ExpectedPage(_ENGINE, sees=OPERATORS, acts=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "live/", sees=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "log/", sees=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "removal/", acts=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "draining/", acts=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "resumption/", acts=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "breaker/", acts=OPERATORS, bare=True),
    ExpectedPage(_ENGINE + "version/", sees=OPERATORS, acts=OPERATORS, bare=True),
    ExpectedPage(_REPLACEMENT, sees=OPERATORS, bare=True),
    ExpectedPage(_REPLACEMENT + "live/", sees=OPERATORS, bare=True),
    ExpectedPage(_REPLACEMENT + "cancellation/", acts=OPERATORS, bare=True),
    ExpectedPage(_REPLACEMENT + "rollback/", acts=OPERATORS, bare=True),
    ExpectedPage("console/tenants/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/tiers/", sees=OPERATORS, acts=OPERATORS, form={"tier": "standard"}),
    ExpectedPage("console/prices/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage("console/prices/<int:price>/ending/", acts=OPERATORS, bare=True),
    ExpectedPage("console/operator-keys/", sees=OPERATORS, acts=OPERATORS),
    ExpectedPage(
        "console/operator-keys/<uuid:operator_key>/revocation/", acts=OPERATORS, bare=True
    ),
    ExpectedPage("console/raises/", sees=OPERATORS),
    ExpectedPage("console/refusals/", sees=OPERATORS),
    ExpectedPage("console/refusals/find/", sees=OPERATORS),
    ExpectedPage("console/reconciliation/", sees=OPERATORS),
    ExpectedPage("console/keys-at-rest/", sees=OPERATORS),
    ExpectedPage("console/backups/", sees=OPERATORS),
    ExpectedPage("console/audit/", sees=OPERATORS),
    ExpectedPage("console/audit/<int:any_event>/", sees=OPERATORS, bare=True),
    ExpectedPage("console/retention/", sees=OPERATORS),
    ExpectedPage("console/holds/", sees=OPERATORS),
    ExpectedPage("console/compliance/", sees=OPERATORS),
    ExpectedPage("console/compliance/drills/", sees=OPERATORS, bare=True),
    ExpectedPage("console/compliance/run/", acts=OPERATORS),
    ExpectedPage("console/compliance/report/", acts=OPERATORS),
    ExpectedPage("console/compliance/checks/<slug:check>/", sees=OPERATORS),
    ExpectedPage("console/deletions/", sees=OPERATORS),
    ExpectedPage("console/nowhere/", sees=ANYBODY),
    # In a tenant
    *_inside(
        ExpectedPage("", sees=P.VIEW_USAGE),
        ExpectedPage("live/", sees=P.VIEW_USAGE),
        ExpectedPage("chart/", sees=P.VIEW_USAGE),
        ExpectedPage("shares/", sees=P.VIEW_USAGE),
        ExpectedPage("search/", sees=P.VIEW_USAGE),
        ExpectedPage("trends/", sees=P.VIEW_USAGE),
        ExpectedPage("usage/", sees=P.VIEW_USAGE),
        ExpectedPage("usage/export/", sees=P.VIEW_USAGE),
        ExpectedPage("requests/", sees=P.VIEW_REQUESTS),
        ExpectedPage("requests/export/", sees=P.VIEW_REQUESTS),
        ExpectedPage("requests/<uuid:completion>/", sees=P.VIEW_REQUESTS),
        ExpectedPage("own-requests/", sees=P.CHAT),
        ExpectedPage("own-requests/<uuid:completion>/", sees=P.CHAT, bare=True),
        ExpectedPage("queue/", sees=P.VIEW_REQUESTS),
        ExpectedPage("queue/live/", sees=P.VIEW_REQUESTS),
        ExpectedPage("batches/", sees=P.VIEW_REQUESTS),
        ExpectedPage("batches/<uuid:batch>/", sees=P.VIEW_REQUESTS),
        ExpectedPage("batches/<uuid:batch>/pause/", acts=P.MANAGE_KEYS),
        ExpectedPage("batches/<uuid:batch>/resume/", acts=P.MANAGE_KEYS),
        ExpectedPage("batches/<uuid:batch>/cancel/", acts=P.MANAGE_KEYS),
        ExpectedPage("batches/<uuid:batch>/download/", acts=P.VIEW_PROMPTS),
        ExpectedPage("keys/", sees=P.VIEW_KEYS, acts=P.MANAGE_KEYS),
        ExpectedPage("keys/<uuid:key>/", sees=P.VIEW_KEYS, acts=P.MANAGE_KEYS),
        ExpectedPage("keys/<uuid:key>/rotation/", acts=P.MANAGE_KEYS),
        ExpectedPage("keys/<uuid:key>/schedule/", acts=P.MANAGE_KEYS),
        ExpectedPage("keys/<uuid:key>/collection/", acts=P.MANAGE_KEYS),
        ExpectedPage("keys/<uuid:key>/revocation/", acts=P.MANAGE_KEYS),
        ExpectedPage("models/", sees=P.VIEW_TEAMS),
        ExpectedPage("models/restriction/", acts=P.MANAGE_TEAMS, bare=True),
        ExpectedPage("models/opening/", acts=P.MANAGE_TEAMS, bare=True),
        ExpectedPage("models/granting/", acts=P.MANAGE_TEAMS, bare=True),
        ExpectedPage("models/withdrawal/", acts=P.MANAGE_TEAMS, bare=True),
        ExpectedPage("usage/sessions/", sees=P.VIEW_USAGE),
        ExpectedPage("usage/sessions/export/", sees=P.VIEW_USAGE),
        ExpectedPage("widget-keys/", sees=P.VIEW_KEYS),
        ExpectedPage("widget-keys/addition/", acts=P.MANAGE_KEYS),
        ExpectedPage("widget-keys/<uuid:widget_key>/change/", acts=P.MANAGE_KEYS),
        ExpectedPage("widget-keys/<uuid:widget_key>/revocation/", acts=P.MANAGE_KEYS),
        ExpectedPage("aliases/", sees=P.VIEW_TEAMS),
        ExpectedPage("aliases/addition/", acts=P.MANAGE_TEAMS),
        ExpectedPage("aliases/<uuid:alias>/change/", acts=P.MANAGE_TEAMS),
        ExpectedPage("aliases/<uuid:alias>/removal/", acts=P.MANAGE_TEAMS),
        ExpectedPage("task-sets/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("task-sets/addition/", sees=P.MANAGE_EVALUATIONS, acts=P.MANAGE_EVALUATIONS),
        ExpectedPage("task-sets/<uuid:task_set>/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("task-sets/<uuid:task_set>/removal/", acts=P.MANAGE_EVALUATIONS),
        ExpectedPage("evaluations/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("evaluations/addition/", sees=P.MANAGE_EVALUATIONS, acts=P.MANAGE_EVALUATIONS),
        ExpectedPage("evaluations/<uuid:evaluation>/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("evaluations/<uuid:evaluation>/live/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("evaluations/<uuid:evaluation>/cancellation/", acts=P.MANAGE_EVALUATIONS),
        ExpectedPage("evaluations/<uuid:evaluation>/removal/", acts=P.MANAGE_EVALUATIONS),
        ExpectedPage("evaluations/<uuid:evaluation>/file/", acts=P.VIEW_EVALUATIONS),
        ExpectedPage("assistants/", sees=P.VIEW_ASSISTANTS),
        ExpectedPage("assistants/addition/", sees=P.MANAGE_ASSISTANTS, acts=P.MANAGE_ASSISTANTS),
        ExpectedPage("assistants/figures/", sees=P.VIEW_ASSISTANTS),
        ExpectedPage("assistants/dialogues/", sees=P.VIEW_ASSISTANTS),
        ExpectedPage(_ASSISTANT + "comparison/", sees=P.VIEW_ASSISTANTS),
        ExpectedPage(_ASSISTANT, sees=P.VIEW_ASSISTANTS),
        ExpectedPage(_ASSISTANT + "edition/", sees=P.MANAGE_ASSISTANTS, acts=P.MANAGE_ASSISTANTS),
        ExpectedPage(_ASSISTANT + "intent/", sees=P.MANAGE_ASSISTANTS, acts=P.MANAGE_ASSISTANTS),
        ExpectedPage(_ASSISTANT + "switch/", acts=P.MANAGE_ASSISTANTS),
        ExpectedPage(_ASSISTANT_VERSION + "live/", sees=P.VIEW_ASSISTANTS),
        ExpectedPage(_ASSISTANT_VERSION + "attempt/", acts=P.VIEW_ASSISTANTS),
        ExpectedPage(_ASSISTANT_VERSION + "review/", acts=P.APPROVE_ASSISTANTS),
        ExpectedPage(_ASSISTANT_VERSION + "change/", acts=P.MANAGE_ASSISTANTS),
        ExpectedPage("policy-evaluations/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage(
            "policy-evaluations/addition/", sees=P.MANAGE_EVALUATIONS, acts=P.MANAGE_EVALUATIONS
        ),
        ExpectedPage("policy-evaluations/<uuid:policy_evaluation>/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage("policy-evaluations/<uuid:policy_evaluation>/live/", sees=P.VIEW_EVALUATIONS),
        ExpectedPage(
            "policy-evaluations/<uuid:policy_evaluation>/cancellation/", acts=P.MANAGE_EVALUATIONS
        ),
        ExpectedPage(
            "policy-evaluations/<uuid:policy_evaluation>/removal/", acts=P.MANAGE_EVALUATIONS
        ),
        ExpectedPage("policy-evaluations/<uuid:policy_evaluation>/file/", acts=P.VIEW_EVALUATIONS),
        ExpectedPage("inbox/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/list/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/calls/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/calls/<uuid:call>/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/calls/<uuid:call>/settlement/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/live/", sees=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/taking/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/return/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/resolution/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/transfer/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/reply/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("inbox/<uuid:dialogue>/note/", acts=P.ANSWER_DIALOGUES),
        ExpectedPage("notices/", sees=P.MANAGE_NOTICES),
        ExpectedPage("notices/addition/", sees=P.MANAGE_NOTICES, acts=P.MANAGE_NOTICES),
        ExpectedPage("notices/deliveries/", sees=P.MANAGE_NOTICES),
        ExpectedPage("notices/deliveries/<uuid:notice>/redelivery/", acts=P.MANAGE_NOTICES),
        ExpectedPage("notices/<uuid:target>/", sees=P.MANAGE_NOTICES, acts=P.MANAGE_NOTICES),
        ExpectedPage("notices/<uuid:target>/rotation/", acts=P.MANAGE_NOTICES),
        ExpectedPage("notices/<uuid:target>/trial/", acts=P.MANAGE_NOTICES),
        ExpectedPage("notices/<uuid:target>/removal/", acts=P.MANAGE_NOTICES),
        ExpectedPage("actions/", sees=P.VIEW_ACTIONS),
        ExpectedPage("actions/addition/", sees=P.MANAGE_ACTIONS, acts=P.MANAGE_ACTIONS),
        ExpectedPage("actions/calls/", sees=P.VIEW_ACTIONS),
        ExpectedPage("actions/<uuid:action>/", sees=P.VIEW_ACTIONS),
        ExpectedPage(
            "actions/<uuid:action>/edition/", sees=P.MANAGE_ACTIONS, acts=P.MANAGE_ACTIONS
        ),
        ExpectedPage("actions/<uuid:action>/approval/", acts=P.APPROVE_ASSISTANTS),
        ExpectedPage("actions/<uuid:action>/withdrawal/", acts=P.MANAGE_ACTIONS),
        ExpectedPage("actions/<uuid:action>/rotation/", acts=P.MANAGE_ACTIONS),
        ExpectedPage("actions/<uuid:action>/removal/", acts=P.MANAGE_ACTIONS),
        ExpectedPage("actions/<uuid:action>/trial/", acts=P.MANAGE_ACTIONS),
        ExpectedPage("playground/", sees=P.USE_PLAYGROUND),
        ExpectedPage("playground/code/", acts=P.USE_PLAYGROUND),
        ExpectedPage("templates/", sees=P.VIEW_TEMPLATES),
        ExpectedPage("templates/addition/", sees=P.MANAGE_TEMPLATES, acts=P.MANAGE_TEMPLATES),
        ExpectedPage("templates/<uuid:template>/", sees=P.VIEW_TEMPLATES),
        ExpectedPage(
            "templates/<uuid:template>/edition/",
            sees=P.MANAGE_TEMPLATES,
            acts=P.MANAGE_TEMPLATES,
        ),
        ExpectedPage(
            "templates/<uuid:template>/versions/<int:number>/trial/", acts=P.VIEW_TEMPLATES
        ),
        ExpectedPage("templates/<uuid:template>/removal/", acts=P.MANAGE_TEMPLATES),
        ExpectedPage("policies/", sees=P.VIEW_POLICIES),
        ExpectedPage("policies/addition/", sees=P.MANAGE_POLICIES, acts=P.MANAGE_POLICIES),
        ExpectedPage(_POLICY, sees=P.VIEW_POLICIES),
        *(
            ExpectedPage(f"{_POLICY}{act}/", acts=P.MANAGE_POLICIES)
            for act in ("promotion", "challenge", "shadow", "rollback", "stop", "removal")
        ),
        ExpectedPage(_POLICY_VERSION, sees=P.VIEW_POLICIES),
        ExpectedPage(f"{_POLICY_VERSION}addition/", sees=P.MANAGE_POLICIES, acts=P.MANAGE_POLICIES),
        ExpectedPage(f"{_POLICY_VERSION}submission/", acts=P.MANAGE_POLICIES),
        ExpectedPage(f"{_POLICY_VERSION}approval/", acts=P.APPROVE_POLICIES),
        ExpectedPage(f"{_POLICY_VERSION}return/", acts=P.APPROVE_POLICIES),
        ExpectedPage(f"{_POLICY_VERSION}retirement/", acts=P.MANAGE_POLICIES),
        ExpectedPage("adapters/", sees=P.VIEW_ADAPTERS),
        ExpectedPage("adapters/addition/", acts=P.MANAGE_ADAPTERS),
        ExpectedPage("adapters/<uuid:adapter>/", sees=P.VIEW_ADAPTERS),
        ExpectedPage("adapters/<uuid:adapter>/promotion/", acts=P.MANAGE_ADAPTERS),
        ExpectedPage("adapters/<uuid:adapter>/rollback/", acts=P.MANAGE_ADAPTERS),
        ExpectedPage("adapters/<uuid:adapter>/cancellation/", acts=P.MANAGE_ADAPTERS),
        ExpectedPage("adapters/<uuid:adapter>/removal/", acts=P.MANAGE_ADAPTERS),
        ExpectedPage("versions/", sees=P.VIEW_MODELS),
        ExpectedPage("versions/import/", sees=P.MANAGE_MODELS, acts=P.MANAGE_MODELS),
        ExpectedPage("versions/uploads/", acts=P.MANAGE_MODELS),
        ExpectedPage("versions/uploads/<uuid:upload>/", acts=P.MANAGE_MODELS),
        ExpectedPage(_VERSION, sees=P.VIEW_MODELS),
        ExpectedPage(_VERSION + "removal/", acts=P.MANAGE_MODELS),
        ExpectedPage("jobs/", sees=P.VIEW_REQUESTS),
        ExpectedPage("jobs/addition/", sees=P.MANAGE_KEYS, acts=P.MANAGE_KEYS),
        ExpectedPage("jobs/addition/estimate/", sees=P.MANAGE_KEYS),
        ExpectedPage(_JOB, sees=P.VIEW_REQUESTS),
        ExpectedPage(_JOB + "curves/", sees=P.VIEW_REQUESTS),
        ExpectedPage(_JOB + "pause/", acts=P.MANAGE_KEYS),
        ExpectedPage(_JOB + "resume/", acts=P.MANAGE_KEYS),
        ExpectedPage(_JOB + "cancel/", acts=P.MANAGE_KEYS),
        ExpectedPage(_JOB + "checkpoints/<uuid:checkpoint>/registration/", acts=P.MANAGE_KEYS),
        ExpectedPage("data-sets/", sees=P.VIEW_DATA_SETS),
        ExpectedPage("data-sets/addition/", acts=P.MANAGE_DATA_SETS),
        ExpectedPage("data-sets/conversations/", acts=P.MANAGE_RETENTION),
        ExpectedPage(_DATA_SET, sees=P.VIEW_DATA_SETS),
        ExpectedPage(_DATA_SET + "upload/", acts=P.MANAGE_DATA_SETS),
        ExpectedPage(_DATA_SET + "selection/", acts=P.VIEW_PROMPTS),
        ExpectedPage(_DATA_SET + "deletion/", acts=P.MANAGE_DATA_SETS),
        ExpectedPage(_DATA_SET_VERSION, sees=P.VIEW_DATA_SETS),
        ExpectedPage(_DATA_SET_VERSION + "pieces/", acts=P.MANAGE_DATA_SETS),
        ExpectedPage(_DATA_SET_VERSION + "samples/", acts=P.VIEW_PROMPTS),
        ExpectedPage(_DATA_SET_VERSION + "download/", acts=P.VIEW_PROMPTS),
        ExpectedPage(_DATA_SET_VERSION + "deletion/", acts=P.MANAGE_DATA_SETS),
        ExpectedPage("knowledge/", sees=P.VIEW_KNOWLEDGE),
        ExpectedPage("knowledge/addition/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage(_KNOWLEDGE, sees=P.VIEW_KNOWLEDGE),
        ExpectedPage(_KNOWLEDGE + "question/", acts=P.VIEW_KNOWLEDGE),
        ExpectedPage(_KNOWLEDGE + "deletion/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage(_KNOWLEDGE + "upload/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage(_KNOWLEDGE + "uploads/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage(_DOCUMENT + "pieces/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage(_DOCUMENT + "removal/", acts=P.MANAGE_KNOWLEDGE),
        ExpectedPage("cache/", sees=P.VIEW_USAGE),
        ExpectedPage("cache/rules/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("cache/rules/<int:rule>/removal/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("cache/purge/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("members/", sees=P.VIEW_MEMBERS),
        ExpectedPage("members/invitation/", acts=P.MANAGE_MEMBERS),
        ExpectedPage("members/invitations/", sees=P.MANAGE_MEMBERS, acts=P.MANAGE_MEMBERS),
        ExpectedPage("members/links/<uuid:link>/revocation/", acts=P.MANAGE_MEMBERS),
        ExpectedPage("members/<uuid:member>/", sees=P.VIEW_MEMBERS),
        ExpectedPage("members/<uuid:member>/role/", acts=P.MANAGE_MEMBERS),
        ExpectedPage("members/<uuid:member>/reset-link/", acts=P.MANAGE_MEMBERS),
        ExpectedPage("members/<uuid:member>/texts/release/", acts=OPERATORS),
        ExpectedPage("members/<uuid:member>/removal/", acts=P.MANAGE_MEMBERS),
        ExpectedPage("teams/", sees=P.VIEW_TEAMS, acts=P.MANAGE_TEAMS),
        ExpectedPage("teams/<uuid:team>/", sees=P.VIEW_TEAMS, acts=P.MANAGE_TEAMS),
        ExpectedPage("teams/<uuid:team>/budget/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("teams/<uuid:team>/disbanding/", acts=P.MANAGE_TEAMS),
        ExpectedPage("teams/<uuid:team>/joining/", acts=P.MANAGE_TEAMS),
        ExpectedPage("teams/<uuid:team>/members/<uuid:member>/leaving/", acts=P.MANAGE_TEAMS),
        ExpectedPage("roles/", sees=P.VIEW_MEMBERS),
        ExpectedPage("audit/", sees=P.VIEW_AUDIT),
        ExpectedPage("audit/<int:event>/", sees=P.VIEW_AUDIT),
        ExpectedPage("audit/texts/", sees=P.VIEW_PROMPTS, acts=P.VIEW_PROMPTS),
        ExpectedPage(
            "audit/texts/<uuid:completion>/", sees=P.VIEW_PROMPTS, acts=P.VIEW_PROMPTS, bare=True
        ),
        ExpectedPage("audit/exports/", sees=P.EXPORT_AUDIT, acts=P.EXPORT_AUDIT),
        ExpectedPage("audit/exports/<uuid:audit_export>/file/", acts=P.EXPORT_AUDIT, bare=True),
        ExpectedPage("audit/exports/<uuid:audit_export>/drop/", acts=P.EXPORT_AUDIT),
        ExpectedPage("audit/kit/", sees=P.VIEW_AUDIT),
        ExpectedPage("audit/kit/file/", sees=P.VIEW_AUDIT),
        ExpectedPage("audit/kit/witness/", sees=P.VIEW_AUDIT, bare=True),
        ExpectedPage("audit/kit/certificates/<uuid:deletion>/", sees=P.VIEW_AUDIT, bare=True),
        ExpectedPage("retention/", sees=P.VIEW_AUDIT, acts=P.MANAGE_RETENTION),
        ExpectedPage("holds/", sees=P.VIEW_AUDIT, acts=P.MANAGE_HOLDS),
        ExpectedPage("holds/<uuid:hold>/approval/", acts=P.MANAGE_HOLDS),
        ExpectedPage("holds/<uuid:hold>/renewal/", acts=P.MANAGE_HOLDS),
        ExpectedPage("holds/<uuid:hold>/release/", acts=P.MANAGE_HOLDS),
        ExpectedPage("compliance/", sees=P.VIEW_COMPLIANCE),
        ExpectedPage("compliance/run/", acts=P.VIEW_COMPLIANCE),
        ExpectedPage("compliance/report/", acts=P.VIEW_COMPLIANCE),
        ExpectedPage("compliance/checks/<slug:check>/", sees=P.VIEW_COMPLIANCE),
        ExpectedPage("limits/", sees=P.VIEW_LIMITS),
        ExpectedPage("quotas/", sees=P.VIEW_LIMITS, acts=P.MANAGE_QUOTAS),
        ExpectedPage("quotas/<uuid:quota>/", sees=P.VIEW_LIMITS, acts=P.MANAGE_QUOTAS),
        ExpectedPage("quotas/<uuid:quota>/drop/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("quotas/<uuid:quota>/raise/", acts=P.MANAGE_QUOTAS),
        ExpectedPage("raises/", sees=P.VIEW_LIMITS),
        ExpectedPage("raises/<uuid:quota_raise>/approval/", acts=P.APPROVE_RAISES),
        ExpectedPage("raises/<uuid:quota_raise>/refusal/", acts=P.APPROVE_RAISES),
        ExpectedPage("refusals/", sees=P.VIEW_LIMITS),
        ExpectedPage("refusals/find/", sees=P.VIEW_LIMITS),
        ExpectedPage("deletions/", sees=P.MANAGE_DELETIONS, acts=P.MANAGE_DELETIONS),
        ExpectedPage("deletions/<uuid:deletion>/", sees=P.MANAGE_DELETIONS),
        ExpectedPage("deletions/<uuid:deletion>/approval/", acts=P.MANAGE_DELETIONS),
        ExpectedPage("deletions/<uuid:deletion>/refusal/", acts=P.MANAGE_DELETIONS),
        ExpectedPage("deletions/<uuid:deletion>/lifting/", acts=P.MANAGE_DELETIONS),
        ExpectedPage("deletions/<uuid:deletion>/certificate/", sees=P.MANAGE_DELETIONS, bare=True),
        ExpectedPage("decisions/reviews/", sees=P.VIEW_DECISIONS),
        ExpectedPage(_REVIEW, sees=P.REVIEW_DECISIONS),
        ExpectedPage(_REVIEW + "claim/", acts=P.REVIEW_DECISIONS),
        ExpectedPage(_REVIEW + "return/", acts=P.REVIEW_DECISIONS),
        ExpectedPage(_REVIEW + "explanation/", acts=P.REVIEW_DECISIONS),
        ExpectedPage(_REVIEW + "decision/", acts=P.REVIEW_DECISIONS),
        ExpectedPage("decisions/contests/", sees=P.VIEW_DECISIONS, acts=P.REVIEW_DECISIONS),
        ExpectedPage("people/", sees=P.VIEW_PEOPLE, acts=P.VIEW_PEOPLE),
        ExpectedPage(_PERSON, sees=P.VIEW_PEOPLE),
        ExpectedPage(_PERSON + "deletion/", acts=P.MANAGE_DELETIONS),
        ExpectedPage(_PERSON + "export/", acts=P.VIEW_PROMPTS),
        ExpectedPage(_PERSON + "export/<uuid:person_export>/", acts=P.VIEW_PROMPTS, bare=True),
        ExpectedPage("refusals/<uuid:refusal>/", sees=P.VIEW_LIMITS),
        ExpectedPage("settings/", sees=P.VIEW_MEMBERS, acts=P.MANAGE_SECURITY),
        ExpectedPage("settings/suspension/", acts=OPERATORS, once=True),
        ExpectedPage("settings/resumption/", acts=OPERATORS, once=True),
        ExpectedPage("settings/closure/", acts=OPERATORS, once=True),
    ),
    # The chat: the conversation is the person's own
    ExpectedPage("chat/", sees=P.CHAT),
    ExpectedPage("chat/conversations/", sees=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/", sees=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/messages/", sees=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/branch/", acts=P.CHAT, bare=True),
    ExpectedPage("chat/c/<uuid:conversation>/fork/", acts=P.CHAT, bare=True),
    ExpectedPage("chat/c/<uuid:conversation>/title/", acts=P.CHAT, form={"title": "x"}),
    ExpectedPage("chat/c/<uuid:conversation>/deletion/", acts=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/pin/", acts=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/archive/", acts=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/folder/", acts=P.CHAT),
    ExpectedPage("chat/deletions/", acts=P.CHAT),
    ExpectedPage("chat/search/", acts=P.CHAT),
    ExpectedPage("chat/quotas/", sees=P.CHAT),
    ExpectedPage("chat/quotas/<uuid:quota>/raises/", acts=P.CHAT, bare=True),
    ExpectedPage("chat/shares/", sees=P.CHAT),
    ExpectedPage("chat/shares/<uuid:share>/deletion/", acts=P.CHAT),
    ExpectedPage("chat/s/<str:token>/", sees=PUBLIC),
    ExpectedPage("chat/c/<uuid:conversation>/export/", sees=P.CHAT, bare=True),
    ExpectedPage("chat/c/<uuid:conversation>/share/", acts=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/messages/<uuid:message>/rating/", acts=P.CHAT),
    ExpectedPage("chat/folders/", sees=P.CHAT, acts=P.CHAT, form={"name": "x"}),
    ExpectedPage("chat/folders/<uuid:folder>/name/", acts=P.CHAT, form={"name": "x"}),
    ExpectedPage("chat/folders/<uuid:folder>/deletion/", acts=P.CHAT),
    ExpectedPage("chat/fit/", acts=P.CHAT),
    ExpectedPage("chat/models/", sees=P.CHAT),
    ExpectedPage("chat/settings/", acts=P.CHAT),
    ExpectedPage(
        "chat/presets/", sees=P.CHAT, acts=P.CHAT, form={"name": "x", "level": "personal"}
    ),
    ExpectedPage("chat/presets/<uuid:preset>/", acts=P.CHAT, form={"name": "x"}),
    ExpectedPage("chat/presets/<uuid:preset>/removal/", acts=P.CHAT),
    ExpectedPage("chat/c/<uuid:conversation>/settings/", acts=P.CHAT, form={"settings": "{}"}),
    ExpectedPage(
        "chat/attachments/", sees=P.CHAT, acts=P.CHAT, form={"name": "a.txt", "size": "1"}
    ),
    ExpectedPage("chat/attachments/<uuid:attachment>/", sees=P.CHAT),
    ExpectedPage("chat/attachments/<uuid:attachment>/pieces/", acts=P.CHAT),
    ExpectedPage("chat/attachments/<uuid:attachment>/end/", acts=P.CHAT),
    ExpectedPage("chat/attachments/<uuid:attachment>/removal/", acts=P.CHAT),
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
    Endpoint("/v1/messages", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/messages/count_tokens", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/messages/msg_<uuid:completion>/events", "GET", Scope.INFERENCE),
    Endpoint("/v1/responses", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/responses/input_tokens", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/responses/compact", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/responses/resp_<uuid:completion>/events", "GET", Scope.INFERENCE),
    *(
        Endpoint(f"/v1/responses/resp_<uuid:response>{path}", method, Scope.INFERENCE, (200, 404))
        for path, method in (  # 404 for keys that have not stored it
            ("", "GET"),
            ("", "DELETE"),
            ("/cancel", "POST"),
            ("/input_items", "GET"),
        )
    ),
    Endpoint("/v1/decisions", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/decisions", "GET", Scope.INFERENCE),
    Endpoint("/v1/decisions/dec_<uuid:decision>", "GET", Scope.INFERENCE, (200, 404)),
    Endpoint("/v1/decisions/dec_<uuid:decision>/outcome", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/decisions/dec_<uuid:decision>/contest", "GET", Scope.INFERENCE, (200, 404)),
    Endpoint("/v1/decisions/dec_<uuid:decision>/contest", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/decisions/dec_<uuid:decision>/explanation", "GET", Scope.INFERENCE, (200, 404)),
    *(
        Endpoint(f"/v1/dialogues{path}", method, Scope.INFERENCE, answers)
        for path, method, answers in (  # 404 for keys that have not begun it
            ("", "POST", (400,)),
            ("/dlg_<uuid:dialogue>", "GET", (200, 404)),
            ("/dlg_<uuid:dialogue>/messages", "GET", (200, 404)),
            ("/dlg_<uuid:dialogue>/messages", "POST", (400, 404)),
            ("/dlg_<uuid:dialogue>/close", "POST", (200, 404)),
        )
    ),
    Endpoint("/v1/embeddings", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v1/rerank", "POST", Scope.INFERENCE, (400,)),
    Endpoint("/v2/rerank", "POST", Scope.INFERENCE, (400,)),
    *(
        Endpoint(path, "POST", Scope.INFERENCE, (400,))
        for path in ("/v1/tokenize", "/v1/detokenize", "/tokenize", "/detokenize")
    ),
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
    *(
        Endpoint(f"/api/{path}", method, Scope.INFERENCE, answers)
        for path, method, answers in (  # Ollama's
            *((name, "GET", (200,)) for name in ("version", "tags", "ps")),
            *(
                (name, "POST", (400,))  # the body is empty
                for name in ("show", "chat", "generate", "embed", "embeddings")
            ),
            ("streams/<uuid:completion>", "GET", (200,)),
            *((name, "POST", (404,)) for name in ("pull", "push", "create", "copy")),
            ("delete", "DELETE", (404,)),
            ("blobs/sha256:<str:name>", "POST", (404,)),
        )
    ),
    *(
        Endpoint(path, method, Scope.INFERENCE, answers)
        for path, method, answers in (
            ("/v1/fine_tuning/jobs", "GET", (200,)),
            ("/v1/fine_tuning/jobs", "POST", (400,)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>", "GET", (200, 404)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>/events", "GET", (200, 404)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>/checkpoints", "GET", (200, 404)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>/pause", "POST", (200, 404)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>/resume", "POST", (404, 409)),
            ("/v1/fine_tuning/jobs/ftjob-<uuid:job>/cancel", "POST", (200, 404)),
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
