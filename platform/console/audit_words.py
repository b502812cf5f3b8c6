"""The words of the audit trail, as people read them."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.actions import Action

WORDS: dict[str, Promise] = {
    Action.COMPLETION_RECEIVED: _("Request received"),
    Action.COMPLETION_COMPLETED: _("Request completed"),
    Action.TENANT_CREATE: _("Tenant created"),
    Action.TENANT_CHANGE: _("Limits changed"),
    Action.MEMBER_ADD: _("Member added"),
    Action.MEMBER_REMOVE: _("Member removed"),
    Action.API_KEY_CREATE: _("API key created"),
    Action.API_KEY_REVOKE: _("API key revoked"),
    Action.LINK_CREATE: _("Link created"),
    Action.LINK_USE: _("Link used"),
    Action.OPERATOR_CREATE: _("Operator created"),
    Action.SESSION_LOGIN: _("Signed in"),
    Action.SESSION_LOGOUT: _("Signed out"),
    Action.SESSION_DENIED: _("Sign-in refused"),
    Action.CONVERSATION_CREATE: _("Conversation started"),
    Action.CONVERSATION_DELETE: _("Conversation deleted"),
    Action.PROMPT_VIEW: _("Prompt read"),
}
REQUESTS = (Action.COMPLETION_RECEIVED, Action.COMPLETION_COMPLETED)
