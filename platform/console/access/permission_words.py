"""Permissions in words."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.roles import Permission as P

WORDS: dict[P, Promise] = {
    P.CHAT: _("Chat with the models"),
    P.VIEW_USAGE: _("See usage and overview"),
    P.VIEW_REQUESTS: _("See the request log"),
    P.VIEW_LIMITS: _("See limits, quotas and refusals"),
    P.VIEW_KEYS: _("See API keys"),
    P.MANAGE_KEYS: _("Create, change and revoke API keys"),
    P.VIEW_MEMBERS: _("See members and roles"),
    P.MANAGE_MEMBERS: _("Invite, change and remove members"),
    P.VIEW_TEAMS: _("See teams and models"),
    P.MANAGE_TEAMS: _("Manage teams and grants of models"),
    P.VIEW_TEMPLATES: _("See prompt templates"),
    P.MANAGE_TEMPLATES: _("Write and remove prompt templates"),
    P.MANAGE_QUOTAS: _("Set quotas, ask for raises"),
    P.APPROVE_RAISES: _("Approve raises of quotas"),
    P.MANAGE_SECURITY: _("Change security settings"),
    P.VIEW_AUDIT: _("Read the audit trail"),
    P.EXPORT_AUDIT: _("Export the audit trail"),
    P.VIEW_PROMPTS: _("Read prompts and answers, with a reason"),
    P.VIEW_COMPLIANCE: _("See the compliance report"),
    P.MANAGE_RETENTION: _("Set how long data is kept"),
    P.MANAGE_HOLDS: _("Place and approve legal holds"),
    P.MANAGE_DELETIONS: _("Decide on deletion requests"),
}
