"""The table of roles and their permissions, in words, as the code goes by it."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.authorization import TenantRequest, permitted
from tenants.roles import HOLDERS, Duty, MatrixRow, Permission, Profile, Role, matrix

WORDS: dict[Permission, Promise] = {
    Permission.CHAT: _("Chat with the models"),
    Permission.USE_PLAYGROUND: _("Try models in the playground"),
    Permission.VIEW_USAGE: _("See usage and overview"),
    Permission.VIEW_REQUESTS: _("See the request log"),
    Permission.VIEW_LIMITS: _("See limits, quotas and refusals"),
    Permission.VIEW_KEYS: _("See API keys"),
    Permission.MANAGE_KEYS: _("Create, change and revoke API keys"),
    Permission.VIEW_MEMBERS: _("See members and roles"),
    Permission.MANAGE_MEMBERS: _("Invite, change and remove members"),
    Permission.VIEW_TEAMS: _("See teams and models"),
    Permission.MANAGE_TEAMS: _("Manage teams and grants of models"),
    Permission.VIEW_MODELS: _("See versions of models"),
    Permission.MANAGE_MODELS: _("Import, download and delete versions of models"),
    Permission.VIEW_TEMPLATES: _("See prompt templates"),
    Permission.MANAGE_TEMPLATES: _("Write and remove prompt templates"),
    Permission.VIEW_ADAPTERS: _("See adapters"),
    Permission.MANAGE_ADAPTERS: _("Create, promote and remove adapters"),
    Permission.VIEW_EVALUATIONS: _("See task sets and evaluations"),
    Permission.MANAGE_EVALUATIONS: _("Write task sets, evaluate models"),
    Permission.VIEW_POLICIES: _("See decision policies"),
    Permission.MANAGE_POLICIES: _("Write, promote and stop decision policies"),
    Permission.APPROVE_POLICIES: _("Approve versions of decision policies that others wrote"),
    Permission.VIEW_DATA_SETS: _("See data sets and their figures"),
    Permission.MANAGE_DATA_SETS: _("Upload and delete data sets"),
    Permission.VIEW_ACTIONS: _("See actions of assistants and their calls"),
    Permission.MANAGE_ACTIONS: _("Create, change, try and remove actions"),
    Permission.MANAGE_NOTICES: _("Set where notices go, see and repeat their deliveries"),
    Permission.ANSWER_DIALOGUES: _("Read dialogues, take them over and answer people"),
    Permission.VIEW_KNOWLEDGE: _("See knowledge bases, and search them"),
    Permission.MANAGE_KNOWLEDGE: _("Write and delete knowledge bases"),
    Permission.VIEW_DECISIONS: _("See decisions and their figures"),
    Permission.REVIEW_DECISIONS: _("Read the inputs of decisions, review and explain them"),
    Permission.VIEW_PEOPLE: _("Find people by their reference"),
    Permission.VIEW_ASSISTANTS: _("See assistants, try sentences with them"),
    Permission.MANAGE_ASSISTANTS: _("Write, promote and stop assistants"),
    Permission.APPROVE_ASSISTANTS: _("Approve versions of assistants that others wrote"),
    Permission.MANAGE_QUOTAS: _("Set quotas, ask for increases"),
    Permission.APPROVE_RAISES: _("Approve quota increases"),
    Permission.MANAGE_SECURITY: _("Change security settings"),
    Permission.VIEW_AUDIT: _("Read the audit trail"),
    Permission.EXPORT_AUDIT: _("Export the audit trail"),
    Permission.VIEW_PROMPTS: _("Read prompts and answers, with a reason"),
    Permission.VIEW_COMPLIANCE: _("See the compliance report"),
    Permission.MANAGE_RETENTION: _("Set how long data is kept"),
    Permission.MANAGE_HOLDS: _("Place and approve legal holds"),
    Permission.MANAGE_DELETIONS: _("Decide on deletion requests"),
}


@dataclass(frozen=True, slots=True)
class RoleCell:
    held: bool  # under this tenant's profile
    otherwise: bool  # it differs under the other profile
    own: bool  # the role of the person who looks


@dataclass(frozen=True, slots=True)
class PermissionRow:
    label: str | Promise
    permission: Permission
    duty: Duty | None
    cells: list[RoleCell]


@permitted(Permission.VIEW_MEMBERS)
def roles(request: TenantRequest) -> HttpResponse:
    profile = Profile(request.tenant.profile)
    other = Profile.ASVS if profile == Profile.MLPS else Profile.MLPS
    own_role = request.member.role if request.member else "operator"
    pairs = zip(matrix(profile), matrix(other), strict=True)
    context = {
        "columns": [(_holder_name(holder), holder == own_role) for holder in HOLDERS],
        "lines": [_line(present, others, own_role) for present, others in pairs],
        "profile": profile,
        "other": other,
    }
    return render(request, "console/roles.html", context)


def _line(row: MatrixRow, other_row: MatrixRow, own_role: str) -> PermissionRow:
    columns = zip(HOLDERS, row.held, other_row.held, strict=True)
    cells = [
        RoleCell(holds, holds != holds_elsewhere, holder == own_role)
        for holder, holds, holds_elsewhere in columns
    ]
    return PermissionRow(WORDS[row.permission], row.permission, row.duty, cells)


def _holder_name(holder: str) -> str:
    return str(_("Platform operator") if holder == "operator" else Role(holder).label)
