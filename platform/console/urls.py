from django.urls import include, path

from console import home
from console.access import (
    aliases,
    api_keys,
    operator_keys,
    roles,
    served_models,
    widget_keys,
)
from console.account import forgotten, invitations, one_time_link, sign_in
from console.account import own_account as account
from console.actions import pages as actions
from console.assistants import assistants
from console.backups import page as backups
from console.compliance import pages as compliance
from console.compliance.drills import pages as drills
from console.data_sets import pages as data_sets
from console.data_sets import versions as data_set_versions
from console.decisions import contests, reviews
from console.decisions import policies as decision_policies
from console.decisions import versions as policy_versions
from console.evaluations import evaluations, gates, task_sets
from console.evaluations import policies as policy_evaluations
from console.inbox import pages as inbox
from console.jobs import creation as job_creation
from console.jobs import pages as jobs
from console.knowledge import documents
from console.knowledge import pages as knowledge_bases
from console.limits import limits, prices, quotas, reconciliations, refusals
from console.measures import comparison, dialogues, figures
from console.notices import deliveries as notice_deliveries
from console.notices import preferences as notice_preferences
from console.notices import targets as notices
from console.people import invitations as invitation_lists
from console.people import members, teams
from console.playground import pages as playground
from console.privacy import audit_kit, deletions, legal_holds, own_data, people, retention
from console.prompts import cache
from console.prompts import templates as prompt_templates
from console.registry import pages as registry
from console.registry import uploads as model_uploads
from console.request_log import detail as request_detail
from console.request_log import log as request_log
from console.search import pages as search_pages
from console.serving import adapters, addition, engines, models, pools, queue, versions
from console.tenants import tenant_list, tenant_settings
from console.trail import audit_exports, audit_log, audit_texts, keys_at_rest
from console.usage import (
    batches,
    overview,
    sessions,
    trends,
    usage_pages,
    waiting_requests,
)
from console.waiting import page as waiting

app_name = "console"
_ADAPTER = "adapters/<uuid:adapter>/"
_ANY_JOB = "console/jobs/<uuid:any_job>/"
_BATCH = "console/batches/<uuid:any_batch>/"
_DATA_SET = "data-sets/<uuid:data_set>/"
_DATA_SET_VERSION = f"{_DATA_SET}versions/<int:number>/"
_ENGINE = "console/pools/engines/<uuid:engine>/"
_EVALUATION = "evaluations/<uuid:evaluation>/"
_POLICY_EVALUATION = "policy-evaluations/<uuid:policy_evaluation>/"
_EXPORT = "audit/exports/<uuid:audit_export>/"
_GATES = "console/pools/<uuid:pool>/gates/"
_JOB = "jobs/<uuid:job>/"
_KNOWLEDGE = "knowledge/<uuid:knowledge_base>/"
_DOCUMENT = f"{_KNOWLEDGE}documents/<uuid:document>/"
_OPERATOR_KEY = "console/operator-keys/<uuid:operator_key>/"
_OWN_DATA = "account/data/<uuid:member>/"
_OWN_EXPORT = f"{_OWN_DATA}export/<uuid:own_export>/"
_PERSON = "people/<uuid:person>/"
_PERSON_EXPORT = f"{_PERSON}export/<uuid:person_export>/"
_QUEUE = "console/pools/<uuid:pool>/queue/"
_REPLACEMENT = "console/pools/replacements/<uuid:replacement>/"
_REVIEW = "decisions/reviews/<uuid:review>/"
_TASK_SET = "task-sets/<uuid:task_set>/"
_POLICY = "policies/<uuid:policy>/"
_POLICY_VERSION = f"{_POLICY}versions/<int:number>/"
_ASSISTANT = "assistants/<uuid:assistant>/"
_ASSISTANT_VERSION = f"{_ASSISTANT}versions/<int:number>/"
_TEMPLATE = "templates/<uuid:template>/"
_VERSION = "versions/<uuid:model_version>/"
_TRIAL = f"{_TEMPLATE}versions/<int:number>/trial/"

_ACTION = "actions/<uuid:action>/"
_NOTICE_TARGET = "notices/<uuid:target>/"
_PLATFORM_NOTICE_TARGET = f"console/{_NOTICE_TARGET}"
_DIALOGUE = "inbox/<uuid:dialogue>/"

in_tenant = [
    path("", overview.overview, name="overview"),
    path("live/", overview.live, name="live"),
    path("chart/", overview.chart, name="chart"),
    path("shares/", overview.shares, name="shares"),
    path("search/", search_pages.search, name="search"),
    path("trends/", trends.trends, name="trends"),
    path("usage/", usage_pages.usage, name="usage"),
    path("usage/export/", usage_pages.export, name="usage_export"),
    path("requests/", request_log.requests, name="requests"),
    path("requests/export/", request_log.export, name="requests_export"),
    path("requests/<uuid:completion>/", request_detail.request_page, name="request"),
    path("own-requests/", request_log.own_requests, name="own_requests"),
    path("own-requests/<uuid:completion>/", request_detail.own_request, name="own_request"),
    path("queue/", waiting_requests.own_queue, name="own_queue"),
    path("queue/live/", waiting_requests.live, name="own_queue_live"),
    path("batches/", batches.batches, name="batches"),
    path("batches/<uuid:batch>/", batches.batch, name="batch"),
    path("batches/<uuid:batch>/pause/", batches.pause, name="batch_pause"),
    path("batches/<uuid:batch>/resume/", batches.resume, name="batch_resume"),
    path("batches/<uuid:batch>/cancel/", batches.cancel, name="batch_cancel"),
    path("batches/<uuid:batch>/download/", batches.download, name="batch_download"),
    path("keys/", api_keys.api_keys, name="api_keys"),
    path("keys/<uuid:key>/", api_keys.api_key, name="api_key"),
    path("keys/<uuid:key>/rotation/", api_keys.rotation, name="rotation"),
    path("keys/<uuid:key>/schedule/", api_keys.schedule, name="key_schedule"),
    path("keys/<uuid:key>/collection/", api_keys.collection, name="key_collection"),
    path("keys/<uuid:key>/revocation/", api_keys.revocation, name="revocation"),
    path("models/", served_models.models, name="models"),
    path("models/restriction/", served_models.restriction, name="restriction"),
    path("models/opening/", served_models.opening, name="opening"),
    path("models/granting/", served_models.granting, name="granting"),
    path("models/withdrawal/", served_models.withdrawal, name="withdrawal"),
    path("usage/sessions/", sessions.sessions, name="sessions"),
    path("usage/sessions/export/", sessions.export_sessions, name="sessions_export"),
    path("widget-keys/", widget_keys.widget_keys, name="widget_keys"),
    path("widget-keys/addition/", widget_keys.addition, name="widget_key_addition"),
    path("widget-keys/<uuid:widget_key>/change/", widget_keys.change, name="widget_key_change"),
    path(
        "widget-keys/<uuid:widget_key>/revocation/",
        widget_keys.revocation,
        name="widget_key_revocation",
    ),
    path("aliases/", aliases.aliases, name="aliases"),
    path("aliases/addition/", aliases.addition, name="alias_addition"),
    path("aliases/<uuid:alias>/change/", aliases.change, name="alias_change"),
    path("aliases/<uuid:alias>/removal/", aliases.removal, name="alias_removal"),
    path("assistants/", assistants.assistants, name="assistants"),
    path("assistants/addition/", assistants.addition, name="assistant_addition"),
    path("assistants/figures/", figures.figures, name="service_figures"),
    path("assistants/dialogues/", dialogues.dialogues, name="dialogues"),
    path(f"{_ASSISTANT}comparison/", comparison.comparison, name="assistant_comparison"),
    path(_ASSISTANT, assistants.assistant, name="assistant"),
    path(f"{_ASSISTANT}edition/", assistants.edition, name="assistant_edition"),
    path(f"{_ASSISTANT}intent/", assistants.intent, name="assistant_intent"),
    path(f"{_ASSISTANT}switch/", assistants.switch, name="assistant_switch"),
    path(f"{_ASSISTANT_VERSION}live/", assistants.live, name="assistant_live"),
    path(f"{_ASSISTANT_VERSION}attempt/", assistants.attempt, name="assistant_attempt"),
    path(f"{_ASSISTANT_VERSION}review/", assistants.review, name="assistant_review"),
    path(f"{_ASSISTANT_VERSION}change/", assistants.change, name="assistant_change"),
    path("inbox/", inbox.inbox, name="inbox"),
    path("inbox/list/", inbox.inbox_list, name="inbox_list"),
    path("inbox/calls/", inbox.unsettled, name="unsettled_calls"),
    path("inbox/calls/<uuid:call>/", actions.call, name="action_call"),
    path("inbox/calls/<uuid:call>/settlement/", inbox.settlement, name="call_settlement"),
    path(_DIALOGUE, inbox.dialogue, name="inbox_dialogue"),
    path(f"{_DIALOGUE}live/", inbox.live, name="inbox_live"),
    path(f"{_DIALOGUE}taking/", inbox.taking, name="inbox_taking"),
    path(f"{_DIALOGUE}return/", inbox.return_, name="inbox_return"),
    path(f"{_DIALOGUE}resolution/", inbox.resolution, name="inbox_resolution"),
    path(f"{_DIALOGUE}transfer/", inbox.transfer, name="inbox_transfer"),
    path(f"{_DIALOGUE}reply/", inbox.reply, name="inbox_reply"),
    path(f"{_DIALOGUE}note/", inbox.note, name="inbox_note"),
    path("notices/", notices.targets, name="notices"),
    path("notices/addition/", notices.addition, name="notice_target_addition"),
    path("notices/deliveries/", notice_deliveries.deliveries, name="notice_deliveries"),
    path(
        "notices/deliveries/<uuid:notice>/redelivery/",
        notice_deliveries.redelivery,
        name="notice_redelivery",
    ),
    path(_NOTICE_TARGET, notices.target, name="notice_target"),
    path(f"{_NOTICE_TARGET}rotation/", notices.rotation, name="notice_target_rotation"),
    path(f"{_NOTICE_TARGET}trial/", notices.trial, name="notice_target_trial"),
    path(f"{_NOTICE_TARGET}removal/", notices.removal, name="notice_target_removal"),
    path("actions/", actions.actions, name="actions"),
    path("actions/addition/", actions.addition, name="action_addition"),
    path("actions/calls/", actions.calls, name="action_calls"),
    path(_ACTION, actions.action, name="action"),
    path(f"{_ACTION}edition/", actions.edition, name="action_edition"),
    path(f"{_ACTION}approval/", actions.approval, name="action_approval"),
    path(f"{_ACTION}withdrawal/", actions.withdrawal, name="action_withdrawal"),
    path(f"{_ACTION}rotation/", actions.rotation, name="action_rotation"),
    path(f"{_ACTION}removal/", actions.removal, name="action_removal"),
    path(f"{_ACTION}trial/", actions.trial, name="action_trial"),
    path("playground/", playground.playground, name="playground"),
    path("playground/code/", playground.code, name="playground_code"),
    path("templates/", prompt_templates.templates, name="prompt_templates"),
    path("templates/addition/", prompt_templates.addition, name="prompt_template_addition"),
    path(_TEMPLATE, prompt_templates.template, name="prompt_template"),
    path(f"{_TEMPLATE}edition/", prompt_templates.edition, name="prompt_template_edition"),
    path(_TRIAL, prompt_templates.trial, name="prompt_template_trial"),
    path(f"{_TEMPLATE}removal/", prompt_templates.removal, name="prompt_template_removal"),
    path("policies/", decision_policies.policies, name="decision_policies"),
    path("policies/addition/", decision_policies.addition, name="decision_policy_addition"),
    path(_POLICY, decision_policies.policy, name="decision_policy"),
    path(f"{_POLICY}promotion/", decision_policies.promotion, name="decision_policy_promotion"),
    path(f"{_POLICY}challenge/", decision_policies.challenge, name="decision_policy_challenge"),
    path(f"{_POLICY}shadow/", decision_policies.shadow, name="decision_policy_shadow"),
    path(f"{_POLICY}rollback/", decision_policies.rollback, name="decision_policy_rollback"),
    path(f"{_POLICY}stop/", decision_policies.stop, name="decision_policy_stop"),
    path(f"{_POLICY}removal/", decision_policies.removal, name="decision_policy_removal"),
    path(_POLICY_VERSION, policy_versions.version, name="decision_policy_version"),
    path(
        f"{_POLICY_VERSION}addition/",
        policy_versions.addition,
        name="decision_policy_version_addition",
    ),
    path(
        f"{_POLICY_VERSION}submission/",
        policy_versions.submission,
        name="decision_policy_submission",
    ),
    path(f"{_POLICY_VERSION}approval/", policy_versions.approval, name="decision_policy_approval"),
    path(
        f"{_POLICY_VERSION}return/", policy_versions.return_to_draft, name="decision_policy_return"
    ),
    path(
        f"{_POLICY_VERSION}retirement/",
        policy_versions.retirement,
        name="decision_policy_retirement",
    ),
    path("knowledge/", knowledge_bases.bases, name="knowledge_bases"),
    path("knowledge/addition/", knowledge_bases.addition, name="knowledge_addition"),
    path(_KNOWLEDGE, knowledge_bases.base, name="knowledge_base"),
    path(f"{_KNOWLEDGE}question/", knowledge_bases.question, name="knowledge_question"),
    path(f"{_KNOWLEDGE}deletion/", knowledge_bases.deletion, name="knowledge_deletion"),
    path(f"{_KNOWLEDGE}upload/", documents.upload, name="knowledge_upload"),
    path(f"{_KNOWLEDGE}uploads/", documents.uploads, name="knowledge_uploads"),
    path(f"{_DOCUMENT}pieces/", documents.pieces, name="knowledge_pieces"),
    path(f"{_DOCUMENT}removal/", documents.removal, name="knowledge_removal"),
    path("adapters/", adapters.adapters, name="adapters"),
    path("adapters/addition/", adapters.addition, name="adapter_addition"),
    path(_ADAPTER, adapters.adapter, name="adapter"),
    path(f"{_ADAPTER}promotion/", adapters.promotion, name="adapter_promotion"),
    path(f"{_ADAPTER}rollback/", adapters.rollback, name="adapter_rollback"),
    path(f"{_ADAPTER}cancellation/", adapters.cancellation, name="adapter_cancellation"),
    path(f"{_ADAPTER}removal/", adapters.removal, name="adapter_removal"),
    path("task-sets/", task_sets.task_sets, name="task_sets"),
    path("task-sets/addition/", task_sets.addition, name="task_set_addition"),
    path(_TASK_SET, task_sets.task_set, name="task_set"),
    path(f"{_TASK_SET}removal/", task_sets.removal, name="task_set_removal"),
    path("evaluations/", evaluations.evaluations, name="evaluations"),
    path("evaluations/addition/", evaluations.addition, name="evaluation_addition"),
    path(_EVALUATION, evaluations.evaluation, name="evaluation"),
    path(f"{_EVALUATION}live/", evaluations.live, name="evaluation_live"),
    path(f"{_EVALUATION}cancellation/", evaluations.cancellation, name="evaluation_cancellation"),
    path(f"{_EVALUATION}removal/", evaluations.removal, name="evaluation_removal"),
    path(f"{_EVALUATION}file/", evaluations.file, name="evaluation_file"),
    path("policy-evaluations/", policy_evaluations.evaluations, name="policy_evaluations"),
    path(
        "policy-evaluations/addition/",
        policy_evaluations.addition,
        name="policy_evaluation_addition",
    ),
    path(_POLICY_EVALUATION, policy_evaluations.evaluation, name="policy_evaluation"),
    path(f"{_POLICY_EVALUATION}live/", policy_evaluations.live, name="policy_evaluation_live"),
    path(
        f"{_POLICY_EVALUATION}cancellation/",
        policy_evaluations.cancellation,
        name="policy_evaluation_cancellation",
    ),
    path(
        f"{_POLICY_EVALUATION}removal/",
        policy_evaluations.removal,
        name="policy_evaluation_removal",
    ),
    path(f"{_POLICY_EVALUATION}file/", policy_evaluations.file, name="policy_evaluation_file"),
    path("versions/", registry.versions, name="model_versions"),
    path("versions/import/", registry.importing, name="model_version_import"),
    path("versions/uploads/", model_uploads.uploads, name="model_uploads"),
    path("versions/uploads/<uuid:upload>/", model_uploads.pieces, name="model_upload_pieces"),
    path(_VERSION, registry.version, name="model_version"),
    path(f"{_VERSION}removal/", registry.removal, name="model_version_removal"),
    path("data-sets/", data_sets.data_sets, name="data_sets"),
    path("data-sets/addition/", data_sets.addition, name="data_set_addition"),
    path("data-sets/conversations/", data_sets.conversation_use, name="conversation_use"),
    path(_DATA_SET, data_sets.data_set, name="data_set"),
    path(f"{_DATA_SET}upload/", data_sets.upload, name="data_set_upload"),
    path(f"{_DATA_SET}selection/", data_sets.selection, name="data_set_selection"),
    path(f"{_DATA_SET}deletion/", data_sets.deletion, name="data_set_deletion"),
    path(_DATA_SET_VERSION, data_set_versions.version, name="data_set_version"),
    path(f"{_DATA_SET_VERSION}pieces/", data_set_versions.pieces, name="data_set_pieces"),
    path(f"{_DATA_SET_VERSION}samples/", data_set_versions.samples, name="data_set_samples"),
    path(f"{_DATA_SET_VERSION}download/", data_set_versions.download, name="data_set_download"),
    path(
        f"{_DATA_SET_VERSION}deletion/",
        data_set_versions.deletion,
        name="data_set_version_deletion",
    ),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/addition/", job_creation.addition, name="job_addition"),
    path("jobs/addition/estimate/", job_creation.estimate, name="job_estimate"),
    path(_JOB, jobs.job, name="job"),
    path(f"{_JOB}curves/", jobs.curves, name="job_curves"),
    path(f"{_JOB}pause/", jobs.pause, name="job_pause"),
    path(f"{_JOB}resume/", jobs.resume, name="job_resume"),
    path(f"{_JOB}cancel/", jobs.cancel, name="job_cancel"),
    path(
        f"{_JOB}checkpoints/<uuid:checkpoint>/registration/",
        jobs.registration,
        name="job_checkpoint_registration",
    ),
    path("cache/", cache.cache, name="cache"),
    path("cache/rules/", cache.rule, name="cache_rule"),
    path("cache/rules/<int:rule>/removal/", cache.rule_drop, name="cache_rule_drop"),
    path("cache/purge/", cache.cache_purge, name="cache_purge"),
    path("members/", members.members, name="members"),
    path("members/invitations/", invitation_lists.invitations, name="invitations"),
    path("members/invitation/", members.invitation, name="invitation"),
    path("members/links/<uuid:link>/revocation/", members.link_revocation, name="link_revocation"),
    path("members/<uuid:member>/", members.member, name="member"),
    path("members/<uuid:member>/role/", members.role, name="role"),
    path("members/<uuid:member>/reset-link/", members.reset_link, name="reset_link"),
    path("members/<uuid:member>/texts/release/", members.texts_release, name="texts_release"),
    path("members/<uuid:member>/removal/", members.removal, name="removal"),
    path("teams/", teams.teams, name="teams"),
    path("teams/<uuid:team>/", teams.team, name="team"),
    path("teams/<uuid:team>/budget/", teams.budget, name="team_budget"),
    path("teams/<uuid:team>/disbanding/", teams.disbanding, name="disbanding"),
    path("teams/<uuid:team>/joining/", teams.joining, name="joining"),
    path("teams/<uuid:team>/members/<uuid:member>/leaving/", teams.leaving, name="leaving"),
    path("roles/", roles.roles, name="roles"),
    path("audit/", audit_log.audit, name="audit"),
    path("audit/<int:event>/", audit_log.audit_event, name="audit_event"),
    path("audit/texts/", audit_texts.text_search_page, name="text_search"),
    path("audit/texts/<uuid:completion>/", audit_texts.text_view, name="text_view"),
    path("audit/exports/", audit_exports.audit_exports, name="audit_exports"),
    path("audit/kit/", audit_kit.audit_kit, name="audit_kit"),
    path("audit/kit/file/", audit_kit.audit_kit_file, name="audit_kit_file"),
    path("audit/kit/witness/", audit_kit.audit_kit_witness, name="audit_kit_witness"),
    path(
        "audit/kit/certificates/<uuid:deletion>/",
        audit_kit.audit_kit_certificate,
        name="audit_kit_certificate",
    ),
    path(f"{_EXPORT}file/", audit_exports.audit_export_file, name="audit_export_file"),
    path(f"{_EXPORT}drop/", audit_exports.audit_export_drop, name="audit_export_drop"),
    path("retention/", retention.retention_page, name="retention"),
    path("holds/", legal_holds.legal_holds, name="legal_holds"),
    path("holds/<uuid:hold>/approval/", legal_holds.hold_approval, name="hold_approval"),
    path("holds/<uuid:hold>/renewal/", legal_holds.hold_renewal, name="hold_renewal"),
    path("holds/<uuid:hold>/release/", legal_holds.hold_release, name="hold_release"),
    path("compliance/", compliance.compliance, name="compliance"),
    path("compliance/run/", compliance.check_run, name="check_run"),
    path("compliance/report/", compliance.report, name="compliance_report"),
    path("compliance/checks/<slug:check>/", compliance.check, name="check"),
    path("limits/", limits.limits, name="limits"),
    path("quotas/", quotas.quotas, name="quotas"),
    path("quotas/<uuid:quota>/", quotas.quota, name="quota"),
    path("quotas/<uuid:quota>/drop/", quotas.quota_drop, name="quota_drop"),
    path("quotas/<uuid:quota>/raise/", quotas.raise_request, name="raise_request"),
    path("raises/", quotas.raises, name="raises"),
    path("raises/<uuid:quota_raise>/approval/", quotas.raise_approval, name="raise_approval"),
    path("raises/<uuid:quota_raise>/refusal/", quotas.raise_refusal, name="raise_refusal"),
    path("refusals/", refusals.refusals, name="refusals"),
    path("refusals/find/", refusals.refusal_search, name="refusal_search"),
    path("deletions/", deletions.deletions, name="deletions"),
    path("deletions/<uuid:deletion>/", deletions.deletion_page, name="deletion"),
    path("deletions/<uuid:deletion>/approval/", deletions.approval, name="deletion_approval"),
    path("deletions/<uuid:deletion>/refusal/", deletions.refusal, name="deletion_refusal"),
    path("deletions/<uuid:deletion>/lifting/", deletions.lifting, name="deletion_lifting"),
    path("deletions/<uuid:deletion>/certificate/", deletions.certificate, name="certificate"),
    path("decisions/reviews/", reviews.reviews, name="reviews"),
    path(_REVIEW, reviews.review, name="review"),
    path(f"{_REVIEW}claim/", reviews.review_claim, name="review_claim"),
    path(f"{_REVIEW}return/", reviews.review_return, name="review_return"),
    path(f"{_REVIEW}explanation/", reviews.review_explanation, name="review_explanation"),
    path(f"{_REVIEW}decision/", reviews.review_decision, name="review_decision"),
    path("decisions/contests/", contests.contests, name="contests"),
    path("people/", people.people, name="people"),
    path(_PERSON, people.person, name="person"),
    path(f"{_PERSON}deletion/", people.person_deletion, name="person_deletion"),
    path(f"{_PERSON}export/", people.person_export, name="person_export"),
    path(_PERSON_EXPORT, people.person_export_download, name="person_export_download"),
    path("refusals/<uuid:refusal>/", refusals.refusal, name="refusal"),
    path("settings/", tenant_settings.tenant_settings, name="tenant_settings"),
    path("settings/suspension/", tenant_settings.suspension, name="suspension"),
    path("settings/resumption/", tenant_settings.resumption, name="resumption"),
    path("settings/closure/", tenant_settings.closure, name="closure"),
]
urlpatterns = [
    path("", home.home, name="home"),
    path("login/", sign_in.sign_in, name="sign_in"),
    path("login/forgotten/", forgotten.forgotten, name="forgotten"),
    path("account/waiting/", waiting.waiting, name="waiting"),
    path("account/notices/", notice_preferences.preferences, name="notice_preferences"),
    path("console/notices/", notices.platform_targets, name="platform_notices"),
    path(
        "console/notices/addition/",
        notices.platform_addition,
        name="platform_notice_target_addition",
    ),
    path(
        "console/notices/deliveries/",
        notice_deliveries.platform_deliveries,
        name="platform_notice_deliveries",
    ),
    path(
        "console/notices/deliveries/<uuid:notice>/redelivery/",
        notice_deliveries.platform_redelivery,
        name="platform_notice_redelivery",
    ),
    path("console/notices/mails/", notice_deliveries.mails, name="notice_mails"),
    path(_PLATFORM_NOTICE_TARGET, notices.platform_target, name="platform_notice_target"),
    path(
        f"{_PLATFORM_NOTICE_TARGET}rotation/",
        notices.platform_rotation,
        name="platform_notice_target_rotation",
    ),
    path(
        f"{_PLATFORM_NOTICE_TARGET}trial/",
        notices.platform_trial,
        name="platform_notice_target_trial",
    ),
    path(
        f"{_PLATFORM_NOTICE_TARGET}removal/",
        notices.platform_removal,
        name="platform_notice_target_removal",
    ),
    path("logout/", sign_in.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("account/invitations/<uuid:link>/acceptance/", invitations.acceptance, name="acceptance"),
    path("account/data/", own_data.own_data, name="own_data"),
    path(f"{_OWN_DATA}deletion/", own_data.own_deletion, name="own_deletion"),
    path(f"{_OWN_DATA}export/", own_data.own_export, name="own_export"),
    path(_OWN_EXPORT, own_data.own_export_download, name="own_export_download"),
    path("erasure/<str:token>/", own_data.followed, name="followed"),
    path("account/sessions/end/", account.other_sessions_end, name="other_sessions_end"),
    path("account/sessions/<int:session>/end/", account.session_end, name="session_end"),
    path("welcome/<str:token>/", one_time_link.welcome, name="welcome"),
    path("console/", overview.platform, name="platform"),
    path("console/live/", overview.platform_live, name="platform_live"),
    path("console/chart/", overview.platform_chart, name="platform_chart"),
    path("console/shares/", overview.platform_shares, name="platform_shares"),
    path("console/search/", search_pages.all_search, name="all_search"),
    path("console/trends/", trends.platform_trends, name="platform_trends"),
    path("console/usage/", usage_pages.all_usage, name="all_usage"),
    path("console/usage/export/", usage_pages.all_export, name="all_usage_export"),
    path("console/requests/", request_log.all_requests, name="all_requests"),
    path("console/requests/export/", request_log.all_export, name="all_requests_export"),
    path("console/batches/", batches.all_batches, name="all_batches"),
    path(f"{_BATCH}pause/", batches.all_batch_pause, name="all_batch_pause"),
    path(f"{_BATCH}resume/", batches.all_batch_resume, name="all_batch_resume"),
    path(f"{_BATCH}cancel/", batches.all_batch_cancel, name="all_batch_cancel"),
    path("console/jobs/", jobs.all_jobs, name="all_jobs"),
    path(f"{_ANY_JOB}pause/", jobs.any_pause, name="any_job_pause"),
    path(f"{_ANY_JOB}resume/", jobs.any_resume, name="any_job_resume"),
    path(f"{_ANY_JOB}cancel/", jobs.any_cancel, name="any_job_cancel"),
    path("console/models/", models.models, name="served_models"),
    path("console/models/addition/", addition.addition, name="model_addition"),
    path("console/models/addition/test/", addition.connection_test, name="connection_test"),
    path("console/models/live/", models.live, name="served_models_live"),
    path(
        "console/models/<uuid:served_model>/removal/", models.removal, name="served_model_removal"
    ),
    path("console/versions/", registry.all_versions, name="all_model_versions"),
    path("console/versions/import/", registry.all_importing, name="all_model_version_import"),
    path(f"console/{_VERSION}", registry.any_version, name="any_model_version"),
    path(f"console/{_VERSION}removal/", registry.any_removal, name="any_model_version_removal"),
    path(f"console/{_VERSION}promotion/", registry.promotion, name="model_version_promotion"),
    path("console/pools/", pools.pools, name="pools"),
    path("console/pools/live/", pools.live, name="pools_live"),
    path("console/pools/<uuid:pool>/", pools.pool, name="pool"),
    path(_GATES, gates.gates, name="gates"),
    path(f"{_GATES}<uuid:gate>/removal/", gates.removal, name="gate_removal"),
    path(_QUEUE, queue.queue, name="queue"),
    path(f"{_QUEUE}live/", queue.live, name="queue_live"),
    path(f"{_QUEUE}lowering/", queue.lowering, name="queue_lowering"),
    path(f"{_QUEUE}cancellation/", queue.cancellation, name="queue_cancellation"),
    path("console/pools/addition/", pools.addition, name="pool_addition"),
    path("console/pools/<uuid:pool>/removal/", pools.removal, name="pool_removal"),
    path("console/pools/<uuid:pool>/moving/", pools.moving, name="pool_moving"),
    path("console/pools/engines/addition/", engines.addition, name="engine_addition"),
    path(_ENGINE, engines.engine, name="engine"),
    path(f"{_ENGINE}live/", engines.live, name="engine_live"),
    path(f"{_ENGINE}log/", engines.log, name="engine_log"),
    path(f"{_ENGINE}removal/", engines.removal, name="engine_removal"),
    path(f"{_ENGINE}draining/", engines.draining, name="engine_draining"),
    path(f"{_ENGINE}resumption/", engines.resumption, name="engine_resumption"),
    path(f"{_ENGINE}breaker/", engines.breaker, name="engine_breaker"),
    path(f"{_ENGINE}version/", versions.new_version, name="new_version"),
    path(_REPLACEMENT, versions.replacement, name="replacement"),
    path(f"{_REPLACEMENT}live/", versions.replacement_live, name="replacement_live"),
    path(f"{_REPLACEMENT}cancellation/", versions.cancellation, name="replacement_cancellation"),
    path(f"{_REPLACEMENT}rollback/", versions.rollback, name="replacement_rollback"),
    path("console/tenants/", tenant_list.tenants, name="tenants"),
    path("console/tiers/", limits.tiers, name="tiers"),
    path("console/operator-keys/", operator_keys.operator_keys, name="operator_keys"),
    path(f"{_OPERATOR_KEY}revocation/", operator_keys.revocation, name="operator_key_revocation"),
    path("console/prices/", prices.prices, name="prices"),
    path("console/prices/<int:price>/ending/", prices.ending, name="price_ending"),
    path("console/raises/", quotas.all_raises, name="all_raises"),
    path("console/refusals/", refusals.all_refusals, name="all_refusals"),
    path("console/refusals/find/", refusals.all_refusal_search, name="all_refusal_search"),
    path("console/reconciliation/", reconciliations.reconciliations, name="reconciliations"),
    path("console/keys-at-rest/", keys_at_rest.keys_at_rest, name="keys_at_rest"),
    path("console/backups/", backups.backups, name="backups"),
    path("console/audit/", audit_log.all_audit, name="all_audit"),
    path("console/audit/<int:any_event>/", audit_log.all_audit_event, name="all_audit_event"),
    path("console/retention/", retention.all_retention, name="all_retention"),
    path("console/holds/", legal_holds.all_holds, name="all_holds"),
    path("console/compliance/", compliance.all_compliance, name="all_compliance"),
    path("console/compliance/drills/", drills.drills, name="all_drills"),
    path("console/compliance/run/", compliance.all_check_run, name="all_check_run"),
    path("console/compliance/report/", compliance.all_report, name="all_compliance_report"),
    path("console/compliance/checks/<slug:check>/", compliance.all_check, name="all_check"),
    path("console/deletions/", deletions.all_deletions, name="all_deletions"),
    path("console/nowhere/", home.no_tenant, name="no_tenant"),
    path("console/t/<slug:tenant>/", include(in_tenant)),
]
