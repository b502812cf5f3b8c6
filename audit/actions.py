"""The words of the audit trail, subject first. An unknown word cannot be written."""

from enum import StrEnum


class Action(StrEnum):
    COMPLETION_RECEIVED = "completion:received"
    COMPLETION_COMPLETED = "completion:completed"
    COMPLETION_LEFT = "completion:left"  # a hosted service had it, and another engine went on

    REQUEST_REFUSED = "request:refused"  # coalesced: `detail.count` of a minute

    TENANT_CREATE = "tenant:create"
    TENANT_CHANGE = "tenant:change"
    TENANT_SUSPEND = "tenant:suspend"
    TENANT_RESUME = "tenant:resume"
    TENANT_CLOSE = "tenant:close"
    TIER_CHANGE = "tier:change"
    MEMBER_ADD = "member:add"
    MEMBER_REMOVE = "member:remove"
    MEMBER_ROLE = "member:role"
    TEAM_CREATE = "team:create"
    TEAM_CHANGE = "team:change"
    TEAM_DELETE = "team:delete"
    TEAM_JOIN = "team:join"
    TEAM_LEAVE = "team:leave"
    MODEL_RESTRICT = "model:restrict"
    MODEL_OPEN = "model:open"
    MODEL_GRANT = "model:grant"
    MODEL_WITHDRAW = "model:withdraw"
    MODEL_ADD = "model:add"  # to what the platform serves
    MODEL_CHANGE = "model:change"
    MODEL_REMOVE = "model:remove"
    POOL_ADD = "pool:add"
    POOL_CHANGE = "pool:change"
    POOL_REMOVE = "pool:remove"
    QUEUE_LOWER = "queue:lower"  # requests that wait go to a lower class
    QUEUE_CANCEL = "queue:cancel"
    ENGINE_ADD = "engine:add"
    ENGINE_CHANGE = "engine:change"
    ENGINE_DRAIN = "engine:drain"
    ENGINE_RESUME = "engine:resume"
    ENGINE_REMOVE = "engine:remove"
    ENGINE_REPLACE = "engine:replace"  # a new version is loaded beside it
    ENGINE_REPLACE_CANCEL = "engine:replace_cancel"
    ENGINE_REPLACE_FAIL = "engine:replace_fail"
    ENGINE_SWITCH = "engine:switch"  # the new version serves, the old one finishes
    ENGINE_ROLLBACK = "engine:rollback"
    TEMPLATE_CREATE = "template:create"  # of prompts
    TEMPLATE_PUBLISH = "template:publish"  # a version
    TEMPLATE_DELETE = "template:delete"
    CACHE_RULE = "cache:rule"  # whether answers are kept
    CACHE_PURGE = "cache:purge"
    API_KEY_CREATE = "api_key:create"
    API_KEY_CHANGE = "api_key:change"
    API_KEY_ROTATE = "api_key:rotate"
    API_KEY_REVOKE = "api_key:revoke"
    QUOTA_CREATE = "quota:create"
    QUOTA_CHANGE = "quota:change"
    QUOTA_DELETE = "quota:delete"
    QUOTA_REACHED = "quota:reached"  # a notice: 80 % or 100 %
    QUOTA_OVERRUN = "quota:overrun"  # an alert: an answer took more than was set aside for it
    QUOTA_DIFFERENCE = "quota:difference"  # ledger, usage and counters are not the same
    RAISE_REQUEST = "raise:request"
    RAISE_APPROVE = "raise:approve"
    RAISE_REFUSE = "raise:refuse"
    PRICE_CHANGE = "price:change"
    ENGINE_BREAKER = "engine:breaker"  # an operator keeps it open or closed, or lets it be
    USAGE_EXPORT = "usage:export"
    ACCESS_DENIED = "access:denied"  # signed in, or with a key, but not allowed to
    OPERATOR_ACCESS = "operator:access"  # an operator looked into a tenant

    LINK_CREATE = "link:create"
    LINK_USE = "link:use"
    LINK_REVOKE = "link:revoke"
    OPERATOR_CREATE = "operator:create"
    OPERATOR_REMOVE = "operator:remove"
    OPERATOR_KEY_CREATE = "operator_key:create"
    OPERATOR_KEY_REVOKE = "operator_key:revoke"
    SESSION_LOGIN = "session:login"
    SESSION_LOGOUT = "session:logout"
    SESSION_DENIED = "session:denied"
    SESSION_LOCKED = "session:locked"
    SESSION_END = "session:end"  # by the person, from another session
    PASSWORD_CHANGE = "password:change"  # noqa: S105
    MFA_ADD = "mfa:add"
    MFA_REMOVE = "mfa:remove"
    MFA_USE_RECOVERY = "mfa:use_recovery"
    TEXTS_LOCK = "texts:lock"  # somebody else's link has set the password: older texts are shut
    TEXTS_RELEASE = "texts:release"

    RETENTION_CHANGE = "retention:change"
    HOLD_REQUEST = "hold:request"
    HOLD_APPROVE = "hold:approve"
    HOLD_RENEW = "hold:renew"
    HOLD_ASK_RELEASE = "hold:ask_release"
    HOLD_RELEASE = "hold:release"
    DELETION_REQUEST = "deletion:request"
    DELETION_APPROVE = "deletion:approve"
    DELETION_REFUSE = "deletion:refuse"
    DELETION_LIFT = "deletion:lift"  # a restriction
    DELETION_HELD = "deletion:held"
    DELETION_LATE = "deletion:late"  # the alert at 48 of 72 hours
    DELETION_FINISH = "deletion:finish"
    KEY_ERASE = "subject_key:erase"
    KEY_ROTATE = "encryption_key:rotate"
    SUBJECT_EXPORT = "subject:export"
    AUDIT_SEARCH = "audit:search"  # texts were decrypted and looked through
    AUDIT_EXPORT = "audit:export"
    AUDIT_VERIFY = "audit:verify"
    AUDIT_PRUNE = "audit:prune"
    AUDIT_RESUME = "audit:resume"  # after a restore: what was lost with it
    AUDIT_DRIFT = "audit:drift"  # the catalogue is not what it should be
    COMPLIANCE_REPORT = "compliance:report"
    BACKUP_VERIFY = "backup:verify"  # it was restored into a place of its own, and looked at

    FILE_CREATE = "file:create"
    FILE_READ = "file:read"  # its content
    FILE_DELETE = "file:delete"
    BATCH_CREATE = "batch:create"
    BATCH_CANCEL = "batch:cancel"
    BATCH_PAUSE = "batch:pause"
    BATCH_RESUME = "batch:resume"
    BATCH_END = "batch:end"  # `detail.state` says how

    CONVERSATION_CREATE = "conversation:create"
    CONVERSATION_DELETE = "conversation:delete"
    PROMPT_VIEW = "prompt:view"
