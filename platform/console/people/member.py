"""One member of a tenant: role, teams, second factor, and the way out."""

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
from console.acts_only import require_POST
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.people.members import roles_to_give
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
    return _page(request, _found(request, member))


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def role(request: TenantRequest, member: UUID) -> HttpResponse:
    found = _touchable(request, member)
    form = RoleForm(request.POST, _roles(request, found), found.role)
    if not form.is_valid():
        return _page(request, found, form=form)
    try:
        found.change_role(Role(form.cleaned_data["role"]), by=request.actor)
    except LastOwner:
        form.add_error("role", _("A tenant keeps at least one owner. Invite another one first."))
        return _page(request, _found(request, member), form=form)
    said = _("%(person)s is now: %(role)s.")
    named = {"person": found.user, "role": found.get_role_display()}
    messages.success(request, said % named)
    return redirect("console:member", tenant=request.tenant.name, member=member)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def removal(request: TenantRequest, member: UUID) -> HttpResponse:
    found = _touchable(request, member)
    try:
        found.remove(by=request.actor)
        messages.success(request, _("%(person)s was removed.") % {"person": found.user})
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
    found = _touchable(request, member)
    try:
        link = password_reset.issue_for_member(found, by=request.actor)
    except password_reset.NotTheirs:
        messages.error(request, _("This account belongs to other tenants too. Ask an operator."))
        return redirect("console:member", tenant=request.tenant.name, member=member)
    return _page(request, found, link=link)


@require_POST
@permitted(Permission.VIEW_MEMBERS)
@recently_proven
def texts_release(request: TenantRequest, member: UUID) -> HttpResponse:
    if not request.user.is_operator:
        raise PermissionDenied(_("Only platform operators can unlock texts."))
    found = _found(request, member)
    try:
        locked_texts.release(found.user, by=request.user)
        said = _("The older texts of %(person)s are unlocked.")
        messages.success(request, said % {"person": found.user})
    except locked_texts.NotReleased:
        said = _(
            "You created the link, or the account is yours. Ask another operator to unlock "
            "the texts, or run `manage.py release_texts`."
        )
        messages.error(request, said)
    return redirect("console:member", tenant=request.tenant.name, member=member)


def _found(request: TenantRequest, member: UUID) -> Member:
    members = request.tenant.members.select_related("user", "tenant")
    found: Member = get_object_or_404(members, pk=member)
    return found


def _touchable(request: TenantRequest, member: UUID) -> Member:
    found = _found(request, member)
    if Role(found.role) not in roles_to_give(request):
        raise PermissionDenied(_("This role may do more than yours: ask an owner."))
    return found


def _roles(request: TenantRequest, found: Member) -> list[Role]:
    """Those to choose from: nobody gains anything by changing their own."""
    roles, own = roles_to_give(request), request.member and request.member.pk == found.pk
    held, profile = request.permissions, request.tenant.profile
    return [role for role in roles if not own or permissions(role, profile) <= held]


def _text_lock(request: TenantRequest, found: Member) -> dict[str, Any]:
    lock = locked_texts.of(found.user)
    if lock is None:
        return {}
    actors = Actors.among(lock.made_by, request.tenant)
    return {
        "text_lock": lock,
        "lock_made_by": [actors.name(actor) for actor in lock.made_by],
        "may_release": request.user.is_operator and not locked_texts.made_by(lock, request.user),
    }


def _keys(request: TenantRequest, found: Member) -> QuerySet[ApiKey]:
    """That they made, widened or rotated: what those manage and audit ends with them."""
    keys = request.tenant.api_keys.live().depending_on(found.actor)
    visible = Permission.VIEW_KEYS in request.permissions
    return keys.order_by("name") if visible else keys.none()


def _page(request: TenantRequest, found: Member, **shown: Any) -> HttpResponse:
    manages = Permission.MANAGE_MEMBERS in request.permissions
    touchable = manages and Role(found.role) in roles_to_give(request)
    held = permissions(found.role, request.tenant.profile)
    context = {
        "person": found,
        "teams": request.tenant.teams.filter(memberships__member=found).order_by("name"),
        "held": [p for p in Permission if p in held],
        "keys": _keys(request, found),
        **_text_lock(request, found),
        "second_factor": second_factor.enrolled(found.user),
        "touchable": touchable,
        "form": RoleForm(None, _roles(request, found), found.role),
        **shown,
    }
    return render(request, "console/member.html", context)
