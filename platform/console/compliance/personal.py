"""The data map: the class of personal data in every field. A field without a class fails the tests.

`NONE` is nothing of a person. Fields are separated by spaces; nothing is left out. The signed
report contains the record of processing (GDPR article 30) that is generated from it.
"""

from collections.abc import Iterator
from enum import StrEnum

from django.apps import apps

from console.compliance.texts import Text


class Data(StrEnum):
    NONE = "none"
    IDENTITY = "identity"
    CREDENTIAL = "credential"
    CONTENT = "content"
    PSEUDONYM = "pseudonym"
    NETWORK = "network"
    BEHAVIOUR = "behaviour"


D = Data
LABELS: dict[Data, Text] = {
    D.IDENTITY: Text("Name and address of email", "姓名与电子邮件地址"),
    D.CREDENTIAL: Text("Credentials, hashed or encrypted", "凭据（哈希或加密）"),
    D.CONTENT: Text("Texts, encrypted under the person's key", "文本内容（以个人密钥加密）"),
    D.PSEUDONYM: Text("Pseudonyms and references to a person", "假名与对个人的引用"),
    D.NETWORK: Text("Network addresses and devices", "网络地址与设备"),
    D.BEHAVIOUR: Text("When and what a person did", "个人的行为与时间"),
    D.NONE: Text("Nothing of a person", "不含个人信息"),
}
MAP: dict[str, dict[Data, str]] = {
    # Tables of the frameworks
    "auth.Permission": {D.NONE: "id name content_type codename"},
    "auth.Group": {D.NONE: "id name"},
    "auth.Group_permissions": {D.NONE: "id group permission"},
    "contenttypes.ContentType": {D.NONE: "id app_label model"},
    "sessions.Session": {D.CREDENTIAL: "session_key session_data", D.NONE: "expire_date"},
    "account.EmailAddress": {
        D.IDENTITY: "email",
        D.PSEUDONYM: "user",
        D.NONE: "id verified primary",
    },
    "account.EmailConfirmation": {
        D.PSEUDONYM: "email_address",
        D.CREDENTIAL: "key",
        D.NONE: "id created sent",
    },
    "mfa.Authenticator": {
        D.PSEUDONYM: "user",
        D.CREDENTIAL: "data",
        D.BEHAVIOUR: "created_at last_used_at",
        D.NONE: "id type",
    },
    "socialaccount.SocialApp": {
        D.CREDENTIAL: "secret key",
        D.NONE: "id provider provider_id name client_id settings",
    },
    "socialaccount.SocialAccount": {
        D.IDENTITY: "uid extra_data",
        D.PSEUDONYM: "user",
        D.BEHAVIOUR: "last_login date_joined",
        D.NONE: "id provider",
    },
    "socialaccount.SocialToken": {
        D.CREDENTIAL: "token token_secret",
        D.PSEUDONYM: "account",
        D.NONE: "id app expires_at",
    },
    "usersessions.UserSession": {
        D.PSEUDONYM: "user",
        D.NETWORK: "ip user_agent data",
        D.BEHAVIOUR: "created_at last_seen_at",
        D.CREDENTIAL: "session_key",
        D.NONE: "id",
    },
    "axes.AccessFailureLog": {
        D.PSEUDONYM: "username",
        D.NETWORK: "user_agent ip_address http_accept path_info",
        D.BEHAVIOUR: "attempt_time",
        D.NONE: "id locked_out",
    },
    "axes.AccessAttempt": {
        D.PSEUDONYM: "username",
        D.NETWORK: "user_agent ip_address http_accept path_info",
        D.CONTENT: "get_data post_data",
        D.BEHAVIOUR: "attempt_time failures_since_start",
        D.NONE: "id",
    },
    "axes.AccessAttemptExpiration": {D.NONE: "access_attempt expires_at"},
    "axes.AccessLog": {
        D.PSEUDONYM: "username session_hash",
        D.NETWORK: "user_agent ip_address http_accept path_info",
        D.BEHAVIOUR: "attempt_time logout_time",
        D.NONE: "id",
    },
    "guardian.UserObjectPermission": {
        D.PSEUDONYM: "user",
        D.NONE: "id permission content_type object_pk",
    },
    "guardian.GroupObjectPermission": {D.NONE: "id permission content_type object_pk group"},
    # Proof
    "audit.CheckRun": {D.NONE: "id name tenant_id general at ok figures problem took_ms"},
    "audit.DeletionRequest": {
        D.PSEUDONYM: "subject_id requested_by approved_by certificate",
        D.CONTENT: "reason answer",
        D.BEHAVIOUR: "requested_at approved_at",
        D.NONE: "id tenant_id mode state removes by_subject due_at held_at alerted_at started_at "
        "finished_at",
    },
    "audit.ErasureStep": {
        D.NONE: "id tenant_id request store evidence attempts problem finished_at"
    },
    "audit.Tombstone": {
        D.PSEUDONYM: "subject_id",
        D.NONE: "n tenant_id request_id removes at signature",
    },
    "audit.DataKey": {
        D.PSEUDONYM: "subject_id",
        D.CREDENTIAL: "wrapped",
        D.NONE: "id tenant_id version wrapped_by created_at",
    },
    "audit.KeyMark": {D.NONE: "id generation xid"},
    "audit.KeyRotation": {
        D.PSEUDONYM: "actor",
        D.NONE: "id tenant_id old_key_id new_key_id total done started_at finished_at",
    },
    "audit.Event": {
        D.PSEUDONYM: "actor subject_id api_key_id",
        D.NETWORK: "client_net",
        D.BEHAVIOUR: "at action route model success status error_code response_length "
        "processing_ms tokens_in tokens_out detail",
        D.NONE: "id tenant_id request_id upstream payload_sha256 xid",
    },
    "audit.Payload": {D.CONTENT: "ciphertext", D.NONE: "id at tenant_id request_id field data_key"},
    "audit.Export": {
        D.PSEUDONYM: "subject_id actor asked",
        D.NONE: "id tenant_id kind state data_key_id rows bytes sha256 problem created_at "
        "expires_at",
    },
    "audit.RetentionRule": {
        D.PSEUDONYM: "changed_by",
        D.NONE: "id tenant_id data_class days changed_at",
    },
    "audit.LegalHold": {
        D.PSEUDONYM: "subject_id requested_by approved_by renewed_by release_asked_by released_by",
        D.CONTENT: "reason release_reason",
        D.NONE: "id tenant_id covers_from covers_until requested_at waits_until holds_meanwhile "
        "approved_at expires_at renewed release_asked_at released_at",
    },
    "audit.PrunedMonth": {D.NONE: "id table month rows first_seal last_seal pruned_at"},
    "audit.Seal": {
        D.NONE: "id tenant_id batch first_seq size first_at last_at event_ids leaves root "
        "previous hash checkpoint position sealed_at retention_days"
    },
    "audit.Checkpoint": {D.NONE: "n size root previous at key_id signature"},
    "audit.SealMark": {D.NONE: "id xid event_id restarts set_back at"},
    "audit.WitnessMark": {D.NONE: "name n at problem"},
    # People, keys, limits
    "tenants.TierPolicy": {
        D.NONE: "tier weight requests_per_minute burst tokens_per_minute max_concurrency "
        "megabytes_in_flight megabytes_per_day"
    },
    "tenants.User_groups": {D.NONE: "id user group"},
    "tenants.User_user_permissions": {D.NONE: "id user permission"},
    "tenants.User": {
        D.IDENTITY: "email name",
        D.CREDENTIAL: "password",
        D.BEHAVIOUR: "last_login created_at password_changed_at",
        D.NONE: "id is_superuser is_active is_operator",
    },
    "tenants.Tenant": {
        D.NONE: "id name tier state profile local_only retention_days time_zone "
        "allowed_origins chat_sharing temporary_chats cache_epoch "
        "requests_per_minute burst tokens_per_minute max_concurrency megabytes_in_flight "
        "megabytes_per_day created_at"
    },
    "tenants.Member": {D.PSEUDONYM: "id user subject_id", D.NONE: "tenant role created_at"},
    "tenants.Team": {D.NONE: "id tenant name group temporary_chats created_at"},
    "tenants.TeamMembership": {D.PSEUDONYM: "member", D.NONE: "id tenant team created_at"},
    "tenants.OperatorKey": {
        D.PSEUDONYM: "created_by",
        D.CREDENTIAL: "digest",
        D.NETWORK: "allowed_networks",
        D.BEHAVIOUR: "last_used_at",
        D.NONE: "id name public_id scopes requests_per_minute created_at expires_at revoked_at",
    },
    "tenants.ApiKey": {
        D.PSEUDONYM: "id public_id created_by grantors holders subject_id replaced_by",
        D.CREDENTIAL: "digest",
        D.NETWORK: "allowed_networks",
        D.BEHAVIOUR: "last_used_at",
        D.NONE: "tenant name group team scopes allowed_models local_only requests_per_minute "
        "rotate_at rotate_days rotation_overlap_s uncollected "
        "burst tokens_per_minute max_concurrency megabytes_in_flight megabytes_per_day "
        "created_at expires_at revoked_at",
    },
    "tenants.CacheRule": {D.PSEUDONYM: "api_key", D.NONE: "id tenant model on created_at"},
    "tenants.IdempotentRequest": {
        D.PSEUDONYM: "actor",
        D.CONTENT: "body ciphertext",
        D.NONE: "id tenant route key data_key_id created_at",
    },
    "tenants.LedgerEntry": {
        D.PSEUDONYM: "api_key_id member_id session",  # a keyed hash
        D.BEHAVIOUR: "at counts_at model requests tokens cost gpu_ms",
        D.NONE: "id tenant team_id request_id kind",
    },
    "tenants.Reconciliation": {
        D.NONE: "id tenant day ran_at requests_ledger requests_usage tokens_ledger tokens_usage "
        "cost_ledger cost_usage gpu_ms_ledger gpu_ms_usage counters_off"
    },
    "tenants.Link": {
        D.IDENTITY: "email",
        D.PSEUDONYM: "created_by",
        D.CREDENTIAL: "digest",
        D.NONE: "id purpose tenant role team created_at expires_at used_at",
    },
    "tenants.TextLock": {D.PSEUDONYM: "user made_by", D.NONE: "since before"},
    "tenants.PasswordHistory": {
        D.PSEUDONYM: "user",
        D.CREDENTIAL: "password",
        D.NONE: "id created_at",
    },
    # The outbox: who gets what. Links and addresses of the unknown are encrypted, and go when sent.
    "tenants.Notice": {
        D.PSEUDONYM: "user link",
        D.CREDENTIAL: "secret",
        D.NETWORK: "facts",  # the network of a sign-in, beside figures
        D.BEHAVIOUR: "event created_at",
        D.NONE: "id tenant target occasion language state attempts tries status reason began_at "
        "due_at ended_at",
    },
    "tenants.NoticeTarget": {
        D.PSEUDONYM: "created_by",
        D.CREDENTIAL: "url secret former_secret",
        D.NONE: "id tenant name kind host former_until groups language enabled created_at "
        "changed_at",
    },
    "tenants.NoticePreference": {D.PSEUDONYM: "user", D.NONE: "language last_language muted"},
    "tenants.NoticeMark": {D.NONE: "id xid event_id"},
    "tenants.Person": {D.PSEUDONYM: "id digest", D.BEHAVIOUR: "created_at", D.NONE: "tenant"},
    "tenants.Price": {
        D.NONE: "id model pool prompt cached completion gpu_hour peak_hours peak_factor since ended"
    },
    "tenants.Quota": {
        D.PSEUDONYM: "api_key member",
        D.NONE: "id tenant team model unit window limit set_by_platform created_at",
    },
    "tenants.QuotaCounter": {
        D.PSEUDONYM: "session",  # a keyed hash
        D.BEHAVIOUR: "reserved used",
        D.NONE: "id tenant quota starts ends",
    },
    "tenants.QuotaNotice": {D.NONE: "id tenant quota starts percent at"},
    "tenants.QuotaRaise": {
        D.PSEUDONYM: "requested_by decided_by",
        D.CONTENT: "reason",
        D.NONE: "id tenant quota amount state requested_at decided_at expires_at",
    },
    "tenants.Refusal": {
        D.PSEUDONYM: "actor",
        D.NETWORK: "client_net",
        D.BEHAVIOUR: "route model used minute first_at last_at frees_at count",
        D.NONE: "id tenant tier quota_id limit",
    },
    "tenants.RestrictedModel": {D.NONE: "id tenant name created_at"},
    "tenants.RestrictedModelUserObjectPermission": {
        D.PSEUDONYM: "user",
        D.NONE: "id permission content_object",
    },
    "tenants.RestrictedModelGroupObjectPermission": {D.NONE: "id permission group content_object"},
    # Requests and conversations
    "inference.Completion": {
        D.PSEUDONYM: "api_key member",
        D.BEHAVIOUR: "model adapter adapter_version pool klass route stream state created_at "
        "deadline lowered_at settled_at",
        D.NONE: "id tenant",
    },
    "inference.Checkpoint": {
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "step attempts preemptions stops prompt_tokens completion_tokens gpu_ms "
        "charged queue_ms written_at",
        D.NONE: "completion tenant run",
    },
    "inference.IdempotencyKey": {
        D.PSEUDONYM: "owner",
        D.NONE: "id tenant key body completion_id created_at",  # keyed hashes of key and body
    },
    "inference.Usage": {
        D.PSEUDONYM: "api_key_id member_id session",
        D.BEHAVIOUR: "model adapter adapter_version pool klass hosted prompt_tokens "
        "completion_tokens cached_tokens cache gpu_ms millijoules cost status finish_reason "
        "error_code attempts preemptions repeated queue_ms ttft_ms duration_ms created_at",
        D.NONE: "completion tenant team_id xid",
    },
    "inference.StoredResponse": {  # its texts are audit.Payload's
        D.PSEUDONYM: "api_key subject_id",
        D.BEHAVIOUR: "background size created_at deleted_at",
        D.NONE: "id tenant",
    },
    "inference.File": {
        D.PSEUDONYM: "api_key subject_id",
        D.CONTENT: "name_ciphertext",
        D.BEHAVIOUR: "purpose size whole created_at expires_at declared_size expires_after_s",
        D.NONE: "id tenant data_key_id part_of",
    },
    "inference.FileChunk": {D.CONTENT: "ciphertext", D.NONE: "id tenant file number"},
    "inference.Batch": {
        D.PSEUDONYM: "api_key subject_id",
        D.CONTENT: "metadata_ciphertext",
        D.BEHAVIOUR: "endpoint state ends_as problems model usage total completed failed "
        "created_at expires_at in_progress_at cancelling_at finalizing_at ended_at paused_at",
        D.NONE: "id tenant data_key_id input_file_id output_file_id error_file_id due_at "
        "leased_until lease output_expires_after_s",
    },
    "inference.BatchLine": {
        D.CONTENT: "error_ciphertext",
        D.BEHAVIOUR: "state status",
        D.NONE: "id tenant batch number offset length model completion_id earlier",
    },
    "inference.Job": {
        D.PSEUDONYM: "api_key member_id team_id subject_id actor data_subjects",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "kind state reason problems model pool base parameters seed orders gpu_ms "
        "cost done of unit tokens active_ms result created_at validated_at started_at paused_at "
        "ended_at",
        D.NONE: "id tenant data_key_id base_version_id training_file_id validation_file_id "
        "data_set_version_id order_id result_version_id result_data_set_version_id due_at",
    },
    "inference.JobEvent": {D.BEHAVIOUR: "at level code message detail", D.NONE: "id tenant job"},
    "inference.JobMetric": {
        D.BEHAVIOUR: "at",
        D.NONE: "id tenant job step epoch train_loss held_out_loss learning_rate tokens active_ms",
    },
    "inference.JobCheckpoint": {
        D.BEHAVIOUR: "created_at",
        D.NONE: "id tenant job step files size train_loss held_out_loss",
    },
    "inference.Conversation": {
        D.PSEUDONYM: "member",
        D.CONTENT: "title_ciphertext settings_ciphertext",
        D.BEHAVIOUR: "model created_at updated_at pinned_at archived_at folder temporary",
        D.NONE: "id tenant data_key_id settings_key_id leaf",
    },
    "inference.ConversationShare": {
        D.PSEUDONYM: "member",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "audience created_at expires_at views viewed_at",
        D.NONE: "id tenant conversation digest data_key_id",
    },
    "inference.ConversationFolder": {
        D.PSEUDONYM: "member",
        D.CONTENT: "name_ciphertext",
        D.BEHAVIOUR: "created_at",
        D.NONE: "id tenant data_key_id",
    },
    "inference.Message": {
        D.CONTENT: "ciphertext rating_ciphertext",
        D.BEHAVIOUR: "author finish_reason created_at rating rated_at",
        D.NONE: "id tenant conversation completion_id data_key_id left_out parent is_first "
        "is_summary",
    },
    "inference.Attachment": {
        D.PSEUDONYM: "member",
        D.CONTENT: "name_ciphertext ciphertext",
        D.BEHAVIOUR: "kind media_type size pages tokens created_at",
        D.NONE: "id tenant message number data_key_id",
    },
    "inference.Preset": {  # of a team or a tenant: its texts, and nobody's own
        D.PSEUDONYM: "member created_by",
        D.CONTENT: "ciphertext",
        D.NONE: "id tenant team is_default data_key_id created_at changed_at",
    },
    "inference.AttachmentPiece": {
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "size",
        D.NONE: "id tenant attachment number data_key_id",
    },
    "inference.Assistant": {
        D.NONE: "id tenant name latest live challenger challenger_share challenged_at created_at "
        "changed_at",
    },
    "inference.AssistantVersion": {
        D.PSEUDONYM: "created_by authors reviewed_by returned_by api_key member",
        D.NONE: "id tenant assistant number data_key_id ciphertext state created_at reviewed_at "
        "promoted_at served_at build due_at attempts error_code embedding_model embedding_version "
        "examples embedded classifier_key_id classifier_ciphertext figures built_at "
        "returned_at return_key_id return_ciphertext",
    },
    "inference.Dialogue": {
        D.PSEUDONYM: "api_key person taken_by",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "channel language status taken_at messages_count turns_count satisfaction "
        "was_resolved intents answered_at handed_over_at created_at changed_at closed_at",
        D.NONE: "id tenant widget_key assistant_id version data_key_id",
    },
    "inference.DialogueMessage": {
        D.PSEUDONYM: "author",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "role whole intent step worded_by created_at",
        D.NONE: "id tenant dialogue number client_id data_key_id completion_id",
    },
    "inference.DialogueTurn": {
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "step error_code attempts deadline created_at ended_at",
        D.NONE: "id tenant dialogue question answer data_key_id lease leased_until",
    },
    "inference.DialogueHandOver": {
        D.PSEUDONYM: "taken_by",
        D.BEHAVIOUR: "reason asked_at waits_since taken_at leased_until returns ended_at ending",
        D.NONE: "id tenant dialogue",
    },
    "inference.ActionCall": {
        D.PSEUDONYM: "subject_id created_by settled_by",
        D.CONTENT: "ciphertext answer_ciphertext",
        D.BEHAVIOUR: "action_name state reason confirmed_at created_at sent_at ended_at",
        D.NONE: "id tenant action revision moves_money dialogue_id turn_id asked_in confirmed_in "
        "deadline status data_key_id settled_as settled_at",
    },
    # A tenant's texts and nobody's own: inference/models/assistants/webhook_action.py
    "inference.WebhookAction": {
        D.PSEUDONYM: "created_by proposal_authors",
        D.CREDENTIAL: "secret former_secret",
        D.NONE: "id tenant name description url arguments answer moves_money timeout_s "
        "on_success on_failure enabled revision data_key_id former_key_id former_until "
        "created_at changed_at proposal proposed_at",
    },
    "inference.WidgetKey": {
        D.PSEUDONYM: "created_by api_key",
        D.NONE: "id tenant name text assistant_id origins created_at revoked_at",
    },
    "inference.DataSet": {
        D.PSEUDONYM: "subject_id",
        D.NONE: "id tenant name latest created_at changed_at deleted_at",
    },
    "inference.DataSetVersion": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant data_set number parent made_by_job state source form source_file_id "
        "selection stored_bytes rows held_out_rows report problem created_at ready_at "
        "traces_people purged_rows purged_at attempts leased_until",
    },
    "inference.DataSetChunk": {
        D.PSEUDONYM: "subject_id",
        D.CONTENT: "ciphertext",
        D.NONE: "id tenant version part number data_key_id rows size",
    },
    "inference.DataSetPerson": {D.PSEUDONYM: "subject_id", D.NONE: "id tenant version rows"},
    "inference.DataSetNotice": {
        D.PSEUDONYM: "subject_id",
        D.NONE: "id tenant version model_version_id kind name rows created_at",
    },
    "inference.ConversationUse": {
        D.PSEUDONYM: "changed_by",
        D.CONTENT: "reason",
        D.NONE: "id tenant allowed changed_at",
    },
    # A tenant's texts and nobody's own, under the tenant's key: inference/models/prompt_template.py
    "inference.PromptTemplate": {D.NONE: "id tenant name latest created_at changed_at"},
    "inference.PromptTemplateVersion": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant template number data_key_id ciphertext created_at",
    },
    # Texts of the tenant under its own key: inference/models/decisions/policy_version.py
    "inference.Decision": {
        D.PSEUDONYM: "api_key person",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "outcome score raw_score source fallback_reason feedback feedback_at final "
        "decided_at shadow_score shadow_raw_score shadow_outcome created_at",
        D.NONE: "id tenant version policy_name version_number is_challenger review_at block_at "
        "deadline_ms latency_ms completion_id data_key_id key_owner key key_body shadow_version "
        "shadow_completion_id",
    },
    "inference.Review": {
        D.PSEUDONYM: "claimed_by decided_by confirmed_by",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "state outcome claimed_until decided_at confirmed_at created_at",
        D.NONE: "id tenant decision cause needs_second data_key_id",
    },
    "inference.Contest": {
        D.PSEUDONYM: "created_by",
        D.CONTENT: "ciphertext",
        D.BEHAVIOUR: "state created_at closed_at",
        D.NONE: "id tenant decision review due_at alerted_at data_key_id",
    },
    "inference.DecisionExplanation": {
        D.CONTENT: "ciphertext",
        D.NONE: "decision tenant state problem due_at made_at data_key_id",
    },
    "inference.DecisionPolicy": {
        D.NONE: "id tenant name latest champion challenger challenger_share shadow created_at "
        "changed_at",
    },
    "inference.DecisionPolicyVersion": {
        D.PSEUDONYM: "created_by authors reviewed_by returned_by trial_key trial_member",
        D.NONE: "id tenant policy number model model_version data_key_id ciphertext state trial "
        "due_at report created_at reviewed_at promoted_at served_at returned_at return_key_id "
        "return_ciphertext",
    },
    # Texts of the tenant under keys of their own: docs/scenarios/knowledge.md
    "inference.KnowledgeBase": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant name model dimensions data_key_id secret stored_bytes created_at "
        "changed_at deleted_at",
    },
    "inference.Document": {
        D.PSEUDONYM: "created_by api_key member",
        D.NONE: "id tenant base name url form state problem digest size passages embedded "
        "left_out created_at ready_at due_at leased_until turn attempts",
    },
    "inference.DocumentPiece": {D.NONE: "id tenant document number data_key_id size ciphertext"},
    "inference.Passage": {
        D.NONE: "id tenant base document number data_key_id ciphertext words dimensions"
    },
    "inference.PassageWord": {D.NONE: "tenant passage word count"},
    # Figures of many people's decisions together: inference/decisions/drifting.py
    "inference.PolicyDrift": {
        D.NONE: "id tenant policy version_number day rows score_psi input_psi labelled "
        "calibration_error mean_score rate measured_at",
    },
    # Labelled rows under the tenant's key until they are scored; a report has figures alone.
    "inference.PolicyEvaluation": {
        D.PSEUDONYM: "api_key member subject_id created_by",
        D.BEHAVIOUR: "purpose state error_code created_at ended_at",
        D.NONE: "id tenant version due_at leased_until total data_key_id ciphertext scores report "
        "written failures",
    },
    # Under the tenant's own key, like prompt templates: inference/models/evaluations/task_set.py
    "inference.TaskSet": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant name number kind sha256 items test_items options data_key_id ciphertext "
        "created_at",
    },
    "inference.Evaluation": {
        D.PSEUDONYM: "api_key member subject_id created_by",
        D.BEHAVIOUR: "model against state error_code done against_done created_at ended_at",
        D.NONE: "id tenant task_set task_set_name task_set_number sha256 kind version "
        "against_version due_at total completion_id against_completion_id report",
    },
    "inference.EvaluationGate": {
        D.NONE: "id pool task_set_name sha256 metric bound limit created_at",
    },
    "inference.Model": {D.NONE: "id name position from_file created_at only_for"},
    "inference.Pool": {
        D.NONE: "id name position from_file created_at model condition overflow_after_ms limits "
        "window lending",
    },
    "inference.Engine": {
        D.NONE: "id name position from_file created_at pool kind url api_key slots auto_slots "
        "hosted options draining resting stopped staged seat starting_since "
        "starting_reason model_version_id lent_since lent_return_s gpu_free returning_since "
        "last_return_s",
    },
    # A tenant's models and nobody's own. What was trained on a person's data says so in marked_at.
    "inference.ModelVersion": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant name number kind format dtype architecture parameters context_length "
        "size licence card state problem source made_by_job created_at touched_at "
        "deleted_at marked_at marked_reason manifest_sha256 signature",
    },
    "inference.Adapter": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant base name created_at removed_at",
    },
    "inference.AdapterPromotion": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant adapter version step is_rollback formats replacement report reason "
        "created_at served_at ended_at forgotten_at",
    },
    "inference.ModelAlias": {
        D.PSEUDONYM: "created_by",
        D.NONE: "id tenant name model created_at changed_at",
    },
    "inference.ModelParent": {D.NONE: "id tenant version parent"},
    "inference.ModelDataSet": {D.NONE: "id tenant version data_set_version_id"},
    "inference.ModelFile": {D.NONE: "id tenant version name sha256 size"},
    "inference.Replacement": {
        D.NONE: "id pool old new old_name new_name step reason warm_ups load_within_s keeps_old "
        "may_take_less created_at loaded_at warmed_at switched_at ended_at driver driven_until "
        "warm_up_ms",
    },
    "inference.RollupMark": {D.NONE: "id xid completion_id at"},
}
_ROLLUP = {
    D.PSEUDONYM: "member_id api_key_id",
    D.BEHAVIOUR: "starts model adapter requests prompt_tokens cached_tokens completion_tokens cost "
    "millijoules hosted hosted_cost cancelled errors_client errors_engine errors_platform ttft "
    "inter_token queue_wait",
    D.NONE: "id tenant team_id",
}
MAP |= {"inference.UsageHour": _ROLLUP, "inference.UsageDay": _ROLLUP}


def gaps() -> list[str]:
    """Returns fields of the running models without a class, and classes of unknown fields."""
    fields, classified = set(_fields()), set(_classified())
    missing = [f"{name} has no class" for name in sorted(fields - classified)]
    return missing + [f"{name} is no more" for name in sorted(classified - fields)]


def by_class() -> dict[Data, list[str]]:
    """Returns the fields of each class: "tenants.User.email"."""
    fields_of: dict[Data, list[str]] = {data: [] for data in Data}
    for model, classes in MAP.items():
        for data, fields in classes.items():
            fields_of[data] += [f"{model}.{name}" for name in fields.split()]
    return fields_of


def _fields() -> Iterator[str]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            for field in model._meta.concrete_fields:
                yield f"{model._meta.label}.{field.name}"


def _classified() -> Iterator[str]:
    for fields in by_class().values():
        yield from fields
