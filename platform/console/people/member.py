"""Page of one member of a tenant: role, teams, second factor, and removal."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from audit.retention.legal_hold import OnHold
from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.people.members import roles_to_give
from console.post_only import require_POST
from console.trail.actors import Actors
from tenants.accounts import locked_texts, password_reset, second_factor
from tenants.models import ApiKey, Member
from tenants.models.member import LastOwner
from tenants.roles import Permission, Role, permissions


class RoleForm(ConsoleForm):
    role = forms.ChoiceField(label=gettext_lazy("Role"))

    def __init__(self, data: Any, roles: list[Role], present: str) -> None:
        super().__init__(data, initial={"role": present})
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices = [(role.value, role.label) for role in roles]


@never_cache
@permitted(Permission.VIEW_MEMBERS)
def member(request: TenantRequest, member: UUID) -> HttpResponse:
    return _page(request, _member(request, member))


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def role(request: TenantRequest, member: UUID) -> HttpResponse:
    row = _member_to_change(request, member)
    form = RoleForm(request.POST, _roles(request, row), row.role)
    if not form.is_valid():
        return _page(request, row, form=form)
    try:
        row.change_role(Role(form.cleaned_data["role"]), by=request.actor)
    except LastOwner:
        form.add_error("role", _("A tenant keeps at least one owner. Invite another one first."))
        return _page(request, _member(request, member), form=form)
    text = _("%(person)s is now: %(role)s.")
    names = {"person": row.user, "role": row.get_role_display()}
    messages.success(request, text % names)
    return redirect("console:member", tenant=request.tenant.name, member=member)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def removal(request: TenantRequest, member: UUID) -> HttpResponse:
    row = _member_to_change(request, member)
    try:
        row.remove(by=request.actor)
        messages.success(request, _("%(person)s was removed.") % {"person": row.user})
    except LastOwner:
        messages.error(request, _("A tenant keeps at least one owner. Invite another one first."))
    except OnHold:
        messages.error(request, _("A legal hold keeps what they wrote: they stay until it ends."))
    return redirect("console:members", tenant=request.tenant.name)


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
    return _page(request, row, link=link)


@require_POST
@permitted(Permission.VIEW_MEMBERS)
@recently_proven
def texts_release(request: TenantRequest, member: UUID) -> HttpResponse:
    if not request.user.is_operator:
        raise PermissionDenied(_("Only platform operators can unlock texts."))
    row = _member(request, member)
    try:
        locked_texts.release(row.user, by=request.user)
        text = _("The older texts of %(person)s are unlocked.")
        messages.success(request, text % {"person": row.user})
    except locked_texts.NotReleased:
        text = _(
            "You created the link, or the account is yours. Ask another operator to unlock "
            "the texts, or run `manage.py release_texts`."
        )
        messages.error(request, text)
    return redirect("console:member", tenant=request.tenant.name, member=member)


def _member(request: TenantRequest, member: UUID) -> Member:
    members = request.tenant.members.select_related("user", "tenant")
    row: Member = get_object_or_404(members, pk=member)
    return row


def _member_to_change(request: TenantRequest, member: UUID) -> Member:
    row = _member(request, member)
    if Role(row.role) not in roles_to_give(request):
        raise PermissionDenied(_("This role may do more than yours: ask an owner."))
    return row


def _roles(request: TenantRequest, row: Member) -> list[Role]:
    """Returns the roles to choose from. Nobody gains permissions by changing their own role."""
    roles, own = roles_to_give(request), request.member and request.member.pk == row.pk
    profile = request.tenant.profile
    return [r for r in roles if not own or permissions(r, profile) <= request.permissions]


def _text_lock(request: TenantRequest, row: Member) -> dict[str, Any]:
    lock = locked_texts.of(row.user)
    if lock is None:
        return {}
    actors = Actors.among(lock.made_by, request.tenant)
    return {
        "text_lock": lock,
        "lock_made_by": [actors.name(actor) for actor in lock.made_by],
        "may_release": request.user.is_operator and not locked_texts.made_by(lock, request.user),
    }


def _keys(request: TenantRequest, row: Member) -> QuerySet[ApiKey]:
    """Returns keys that depend on the member: their powers to manage and audit end with them."""
    keys = request.tenant.api_keys.live().depending_on(row.actor)
    visible = Permission.VIEW_KEYS in request.permissions
    return keys.order_by("name") if visible else keys.none()


def _page(request: TenantRequest, row: Member, **shown: Any) -> HttpResponse:
    manages = Permission.MANAGE_MEMBERS in request.permissions
    may_change = manages and Role(row.role) in roles_to_give(request)
    granted = permissions(row.role, request.tenant.profile)
    context = {
        "person": row,
        "teams": request.tenant.teams.filter(memberships__member=row).order_by("name"),
        "held": [p for p in Permission if p in granted],
        "keys": _keys(request, row),
        **_text_lock(request, row),
        "second_factor": second_factor.enrolled(row.user),
        "touchable": may_change,
        "form": RoleForm(None, _roles(request, row), row.role),
        **shown,
    }
    return render(request, "console/member.html", context)
