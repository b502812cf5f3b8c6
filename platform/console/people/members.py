"""Pages of a tenant's members and invitations; an invitation's link is shown once and expires."""

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from console.account.reauthentication import recently_proven
from console.authorization import TenantRequest, permitted
from console.forms import ConsoleForm
from console.post_only import require_POST
from tenants.accounts.second_factor import FACTORS
from tenants.models import Link
from tenants.models.link import Purpose
from tenants.roles import Permission, Role


class InvitationForm(ConsoleForm):
    email = forms.EmailField(label=gettext_lazy("Email address"))
    role = forms.ChoiceField(label=gettext_lazy("Role"))
    days = forms.TypedChoiceField(
        label=gettext_lazy("The link works for"),
        coerce=int,
        initial=7,
        choices=[
            (1, gettext_lazy("a day")),
            (7, gettext_lazy("7 days")),
            (30, gettext_lazy("30 days")),
        ],
    )

    def __init__(self, data: Any, roles: list[Role]) -> None:
        super().__init__(data)
        choices = [(role.value, role.label) for role in roles]
        role = self.fields["role"]
        assert isinstance(role, forms.ChoiceField)
        role.choices, role.initial = choices, Role.MEMBER


@never_cache
@permitted(Permission.VIEW_MEMBERS)
def members(request: TenantRequest) -> HttpResponse:
    return _page(request, InvitationForm(None, roles_to_give(request)))


@never_cache
@require_POST
@permitted(Permission.MANAGE_MEMBERS)
@recently_proven
def invitation(request: TenantRequest) -> HttpResponse:
    form = InvitationForm(request.POST, roles_to_give(request))
    if not form.is_valid():
        return _page(request, form)
    email, role = form.cleaned_data["email"], Role(form.cleaned_data["role"])
    if request.tenant.members.filter(user__email=email.lower()).exists():
        form.add_error("email", _("This person is a member already."))
        return _page(request, form)
    if _replaces_higher_role(request, email):
        text = _("An invitation into a role above yours waits for this person. Ask an owner.")
        form.add_error("email", text)
        return _page(request, form)
    link = Link.issue(
        Purpose.INVITATION,
        by=request.actor,
        email=email,
        tenant=request.tenant,
        role=role,
        days=form.cleaned_data["days"],
    )
    empty_form = InvitationForm(None, roles_to_give(request))
    shown = {"link": link, "invited": email, "days": form.cleaned_data["days"]}
    return _page(request, empty_form, **shown)


def _replaces_higher_role(request: TenantRequest, email: str) -> bool:
    earlier = Link.objects.invitations(request.tenant).filter(email__iexact=email)
    return any(Role(link.role) not in roles_to_give(request) for link in earlier)


@require_POST
@permitted(Permission.MANAGE_MEMBERS)
def link_revocation(request: TenantRequest, link: UUID) -> HttpResponse:
    invitation = get_object_or_404(Link.objects.invitations(request.tenant), pk=link)
    if Role(invitation.role) not in roles_to_give(request):
        raise PermissionDenied(_("This role may do more than yours: ask an owner."))
    invitation.revoke(by=request.actor)
    text = _("The invitation of %(email)s no longer works.")
    messages.success(request, text % {"email": invitation.email})
    return redirect("console:members", tenant=request.tenant.name)


def roles_to_give(request: TenantRequest) -> list[Role]:
    """Returns the roles the caller may give: none above theirs, all for owners and operators."""
    giver = request.member
    return [r for r in Role if request.user.is_operator or (giver and giver.may_give(r))]


def _page(request: TenantRequest, form: InvitationForm, **shown: Any) -> HttpResponse:
    factors = Authenticator.objects.filter(user=OuterRef("user"), type__in=FACTORS)
    members = request.tenant.members.select_related("user").annotate(second_factor=Exists(factors))
    context = {
        "form": form,
        "members": members.prefetch_related("team_memberships__team").order_by("user__email"),
        "invitations": Link.objects.invitations(request.tenant),
        "may_give": roles_to_give(request),
        **shown,
    }
    return render(request, "console/members.html", context)
