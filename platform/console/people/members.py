"""Pages of a tenant's members and invitations; an invitation's link is shown once and expires."""

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from audit.retention.legal_hold import OnHold
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import AddressField, ConsoleForm
from console.post_only import require_POST
from console.reported_acts import report_and_leave
from console.tables import Column, Table
from console.trail.actors import Actors
from tenants.accounts import password_reset, second_factor_policy, text_lock
from tenants.accounts.second_factor_policy import FACTORS
from tenants.models import ApiKey, Link, Member
from tenants.models.link import Purpose
from tenants.models.member import LastOwner
from tenants.notices.links import mail_link
from tenants.roles import Permission, Role, permissions


class InvitationForm(ConsoleForm):
    email = AddressField()

    def __init__(self, data: Any, roles: list[Role]) -> None:
        super().__init__(data)
        self.fields["role"] = role_field(roles, initial=Role.MEMBER)
        self.fields["days"] = days_field()


def days_field() -> forms.TypedChoiceField:
    choices = [(1, _("a day")), (7, _("7 days")), (30, _("30 days"))]
    return forms.TypedChoiceField(
        label=_("The link works for"), coerce=int, initial=7, choices=choices
    )


def role_field(roles: list[Role], **kwargs: Any) -> forms.ChoiceField:
    choices = [(role.value, role.label) for role in roles]
    return forms.ChoiceField(label=_("Role"), choices=choices, **kwargs)


@never_cache
@permitted(Permission.VIEW_MEMBERS)
def members(request: TenantRequest) -> HttpResponse:
    if file := MEMBERS.file(request, _rows(request)):
        return file
    return _page(request, InvitationForm(None, roles_to_give(request)))


@never_cache
@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def invitation(request: TenantRequest) -> HttpResponse:
    form = InvitationForm(request.POST, roles_to_give(request))
    if not form.is_valid():
        return _page(request, form)
    email = form.cleaned_data["email"]
    if request.tenant.members.filter(user__email=email.lower()).exists():
        form.add_error("email", _("This person is a member already."))
        return _page(request, form)
    if _replaces_higher_role(request, email):
        text = _("An invitation into a role above yours waits for this person. Ask an owner.")
        form.add_error("email", text)
        return _page(request, form)
    link = Link.issue(
        Purpose.INVITATION, by=request.actor, tenant=request.tenant, **form.cleaned_data
    )
    empty_form = InvitationForm(None, roles_to_give(request))
    shown = {
        "link": link,
        "invited": email,
        "days": form.cleaned_data["days"],
        "mailed": mail_link(link),
    }
    return _page(request, empty_form, **shown)


def _replaces_higher_role(request: TenantRequest, email: str) -> bool:
    earlier = Link.objects.invitations(request.tenant).filter(email__iexact=email)
    return any(Role(link.role) not in roles_to_give(request) for link in earlier)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
def link_revocation(request: TenantRequest, link: UUID) -> HttpResponse:
    invitation = get_object_or_404(Link.objects.invitations(request.tenant), pk=link)
    _refuse_higher_role(request, invitation.role)
    text = _("The invitation of %(email)s no longer works.") % {"email": invitation.email}
    return report_and_leave(request, invitation.revoke, text, "console:members")


def _refuse_higher_role(request: TenantRequest, role: str) -> None:
    if Role(role) not in roles_to_give(request):
        raise PermissionDenied(_("This role may do more than yours: ask an owner."))


def roles_to_give(request: TenantRequest) -> list[Role]:
    """Returns the roles the caller may give: none above theirs, all for owners and operators."""
    giver = request.member
    return [r for r in Role if request.user.is_operator or (giver and giver.may_give(r))]


def _page(request: TenantRequest, form: InvitationForm, **shown: Any) -> HttpResponse:
    table = MEMBERS.shown(request, _rows(request))
    context = {
        "form": form,
        "table": table,
        "members": table.rows,
        "invitations": Link.objects.invitations(request.tenant),
        "may_give": roles_to_give(request),
        **shown,
    }
    return render(request, "console/members.html", context)


def _rows(request: TenantRequest) -> QuerySet[Member]:
    factors = Authenticator.objects.filter(user=OuterRef("user"), type__in=FACTORS)
    rows = request.tenant.members.select_related("user").annotate(second_factor=Exists(factors))
    return rows.prefetch_related("team_memberships__team").distinct()


MEMBERS = Table(
    "members",
    {
        "person": Column(_("Person"), "user.email", "user__email"),
        "role": Column(_("Role"), lambda row: row.get_role_display(), "role"),
        "teams": Column(_("Teams"), lambda row: ", ".join(_team_names(row))),
        "factor": Column(_("Two-step verification"), "second_factor", "second_factor"),
        "last_sign_in": Column(_("Last sign-in"), "user.last_login", "user__last_login"),
    },
    order="person",
    search=("user__email", "user__name", "team_memberships__team__name"),
)


def _team_names(row: Member) -> list[str]:
    return sorted(place.team.name for place in row.team_memberships.all())


LAST_OWNER = _("A tenant keeps at least one owner. Invite another one first.")
ON_HOLD = _("A legal hold keeps what they wrote: they stay until it ends.")


class RoleForm(ConsoleForm):
    def __init__(self, data: Any, roles: list[Role], present: str) -> None:
        super().__init__(data, initial={"role": present})
        self.fields["role"] = role_field(roles)


@never_cache
@permitted(Permission.VIEW_MEMBERS)
def member(request: TenantRequest, member: UUID) -> HttpResponse:
    return _member_page(request, _member(request, member))


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def role(request: TenantRequest, member: UUID) -> HttpResponse:
    row = _member_to_change(request, member)
    form = RoleForm(request.POST, _roles(request, row), row.role)
    if not form.is_valid():
        return _member_page(request, row, form=form)
    try:
        row.change_role(Role(form.cleaned_data["role"]), by=request.actor)
    except LastOwner:
        form.add_error("role", LAST_OWNER)
        return _member_page(request, _member(request, member), form=form)
    text = _("%(person)s is now: %(role)s.")
    names = {"person": row.user, "role": row.get_role_display()}
    messages.success(request, text % names)
    return redirect("console:member", tenant=request.tenant.name, member=member)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def removal(request: TenantRequest, member: UUID) -> HttpResponse:
    row = _member_to_change(request, member)
    text = _("%(person)s was removed.") % {"person": row.user}
    refusals = {LastOwner: LAST_OWNER, OnHold: ON_HOLD}
    return report_and_leave(request, row.remove, text, "console:members", refusals)


@never_cache
@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def reset_link(request: TenantRequest, member: UUID) -> HttpResponse:
    row = _member_to_change(request, member)
    try:
        link = password_reset.issue_for_member(row, by=request.actor)
    except password_reset.NotTheirs:
        messages.error(request, _("This account belongs to other tenants too. Ask an operator."))
        return redirect("console:member", tenant=request.tenant.name, member=member)
    mailed = mail_link(link)
    return _member_page(request, row, link=link, mailed=mailed)


@require_POST
@permitted(Permission.VIEW_MEMBERS)
@recently_proven
def texts_release(request: TenantRequest, member: UUID) -> HttpResponse:
    if not request.user.is_operator:
        raise PermissionDenied(_("Only platform operators can unlock texts."))
    row = _member(request, member)
    try:
        text_lock.release(row.user, by=request.user)
        text = _("The older texts of %(person)s are unlocked.")
        messages.success(request, text % {"person": row.user})
    except text_lock.NotReleased:
        text = _(
            "You created the link, or the account is yours. Ask another operator to unlock "
            "the texts, or run `manage.py release_texts`."
        )
        messages.error(request, text)
    return redirect("console:member", tenant=request.tenant.name, member=member)


def _member(request: TenantRequest, member: UUID) -> Member:
    members = request.tenant.members.select_related("user", "tenant")
    return get_object_or_404(members, pk=member)


def _member_to_change(request: TenantRequest, member: UUID) -> Member:
    row = _member(request, member)
    _refuse_higher_role(request, row.role)
    return row


def _roles(request: TenantRequest, row: Member) -> list[Role]:
    """Returns the roles to choose from. Nobody gains permissions by changing their own role."""
    roles, own = roles_to_give(request), request.member and request.member.pk == row.pk
    profile = request.tenant.profile
    return [r for r in roles if not own or permissions(r, profile) <= request.permissions]


def _text_lock(request: TenantRequest, row: Member) -> dict[str, Any]:
    lock = text_lock.of(row.user)
    if lock is None:
        return {}
    actors = Actors.among(lock.made_by, request.tenant)
    return {
        "text_lock": lock,
        "lock_made_by": [actors.name(actor) for actor in lock.made_by],
        "may_release": request.user.is_operator and not text_lock.made_by(lock, request.user),
    }


def _keys(request: TenantRequest, row: Member) -> QuerySet[ApiKey]:
    """Returns keys that depend on the member: their powers to manage and audit end with them."""
    keys = request.tenant.api_keys.live().depending_on(row.actor)
    visible = Permission.VIEW_KEYS in request.permissions
    return keys.order_by("name") if visible else keys.none()


def _member_page(request: TenantRequest, row: Member, **shown: Any) -> HttpResponse:
    manages = Permission.MANAGE_MEMBERS in request.permissions
    may_change = manages and Role(row.role) in roles_to_give(request)
    granted = permissions(row.role, request.tenant.profile)
    context = {
        "person": row,
        "teams": request.tenant.teams.filter(memberships__member=row).order_by("name"),
        "held": [p for p in Permission if p in granted],
        "keys": _keys(request, row),
        **_text_lock(request, row),
        "second_factor": second_factor_policy.enrolled(row.user),
        "touchable": may_change,
        "form": RoleForm(None, _roles(request, row), row.role),
        **shown,
    }
    return render(request, "console/member.html", context)
