"""Every word the audit trail knows, subject first. An unknown word cannot be written."""

from enum import StrEnum


class Action(StrEnum):
    COMPLETION_RECEIVED = "completion:received"
    COMPLETION_COMPLETED = "completion:completed"

    TENANT_CREATE = "tenant:create"
    TENANT_CHANGE = "tenant:change"
    MEMBER_ADD = "member:add"
    MEMBER_REMOVE = "member:remove"
    API_KEY_CREATE = "api_key:create"
    API_KEY_REVOKE = "api_key:revoke"

    LINK_CREATE = "link:create"
    LINK_USE = "link:use"
    OPERATOR_CREATE = "operator:create"
    SESSION_LOGIN = "session:login"
    SESSION_LOGOUT = "session:logout"
    SESSION_DENIED = "session:denied"

    CONVERSATION_CREATE = "conversation:create"
    CONVERSATION_DELETE = "conversation:delete"
    PROMPT_VIEW = "prompt:view"
