"""Invitations of somebody for whose address an identity provider has vouched.

Nobody else's are shown: whoever has only a password may have made the account of an address that
is not theirs. Nothing is joined unasked: a stranger can invite anybody.
"""

from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.acts_only import require_POST
from console.authorization import ConsoleRequest, signed_in
from tenants.models import Link, User
from tenants.models.link import AlreadyUsed, OwnInvitation
from tenants.models.tenant import OperatorsStayOut
from tenants.scope import person_scope, tenant_scope

OWN_INVITATION = gettext_lazy(
    "You made this invitation yourself. Ask an owner of the tenant for one."
)


def is_vouched_for(user: User) -> bool:
    """An identity goes to the account of its verified address only (console/account/oidc.py)."""
    return bool(SocialAccount.objects.filter(user_id=user.pk).exists())


def waiting(user: User) -> list[Link]:
    if not is_vouched_for(user):
        return []
    with person_scope(user.pk):
        theirs = list(Link.objects.invited(user.email).values_list("tenant_id", "pk"))
    return [link for tenant_id, pk in theirs if (link := _open(tenant_id, pk))]


def _open(tenant_id: UUID, pk: UUID) -> Link | None:
    with tenant_scope(tenant_id):
        link = Link.objects.usable().select_related("tenant").filter(pk=pk).first()
        return link if link and link.maker_may() else None


@require_POST
@signed_in
def acceptance(request: ConsoleRequest, link: UUID) -> HttpResponse:
    found = next((one for one in waiting(request.user) if one.pk == link), None)
    if found is None or found.tenant is None:
        raise Http404
    try:
        with tenant_scope(found.tenant.id, request.user.pk):
            found.join(request.user)
    except AlreadyUsed:
        raise Http404 from None
    except OperatorsStayOut:
        messages.error(request, _("Operators cannot join this tenant."))
        return redirect("console:account")
    except OwnInvitation:
        messages.error(request, OWN_INVITATION)
        return redirect("console:account")
    messages.success(request, _("You have joined %(tenant)s.") % {"tenant": found.tenant.name})
    return redirect("console:home")
