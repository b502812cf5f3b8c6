"""Who belongs to a tenant. People come in by a link that is shown once, and go by removal."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from console.door import TenantRequest, permitted
from console.forms import ConsoleForm
from tenants.models import Link
from tenants.models.link import Purpose
from tenants.models.member import LastOwner
from tenants.roles import Permission, Role


class InvitationForm(ConsoleForm):
    email = forms.EmailField(label=gettext_lazy("Email address"))
    role = forms.ChoiceField(label=gettext_lazy("Role"))

    def __init__(self, data: Any, roles: list[Role]) -> None:
        super().__init__(data)
        choices = [(role.value, role.label) for role in roles]
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices, role.initial = choices, Role.MEMBER


@never_cache
@permitted(Permission.VIEW_MEMBERS)
def members(request: TenantRequest) -> HttpResponse:
    return _page(request, InvitationForm(None, _may_give(request)))


@never_cache
@require_POST
@permitted(Permission.MANAGE_MEMBERS)
def invitation(request: TenantRequest) -> HttpResponse:
    form = InvitationForm(request.POST, _may_give(request))
    if not form.is_valid():
        return _page(request, form)
    email, role = form.cleaned_data["email"], Role(form.cleaned_data["role"])
    if request.tenant.members.filter(user__email=email.lower()).exists():
        form.add_error("email", _("This person is a member already."))
        return _page(request, form)
    link = Link.issue(
        Purpose.INVITATION, by=request.actor, email=email, tenant=request.tenant, role=role
    )
    fresh = InvitationForm(None, _may_give(request))
    return _page(request, fresh, link=link, invited=email)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
def removal(request: TenantRequest, member: UUID) -> HttpResponse:
    found = get_object_or_404(request.tenant.members, pk=member)
    if Role(found.role) not in _may_give(request):
        raise PermissionDenied(_("Only an owner can remove an owner."))
    try:
        found.remove(by=request.actor)
        messages.success(request, _("%(person)s was removed.") % {"person": found.user})
    except LastOwner:
        messages.error(request, _("A tenant keeps at least one owner. Invite another one first."))
    return redirect("console:members", tenant=request.tenant.name)


def _page(request: TenantRequest, form: InvitationForm, **shown: Any) -> HttpResponse:
    tenant = request.tenant
    context = {
        "form": form,
        "members": tenant.members.select_related("user").order_by("user__email"),
        "invitations": Link.objects.usable().filter(tenant=tenant, purpose=Purpose.INVITATION),
        "may_give": _may_give(request),
        **shown,
    }
    return render(request, "console/members.html", context)


def _may_give(request: TenantRequest) -> list[Role]:
    """Nobody makes owners but owners (and operators)."""
    owner = request.user.is_operator or (request.member and request.member.role == Role.OWNER)
    return [role for role in Role if owner or role != Role.OWNER]
