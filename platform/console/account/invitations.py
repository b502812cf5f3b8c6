"""Invitations for a person whose address an identity provider has verified.

Nobody else's are shown: an account with only a password may have been made with another person's
address. Nobody joins a tenant without accepting: a stranger can invite anybody.
"""

from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.authorization import ConsoleRequest, signed_in
from console.post_only import require_POST
from tenants.models import Link, User
from tenants.models.link import AlreadyUsed, OwnInvitation
from tenants.models.tenant import OperatorsStayOut
from tenants.scope import person_scope, tenant_scope

OWN_INVITATION = gettext_lazy(
    "You made this invitation yourself. Ask an owner of the tenant for one."
)


def is_vouched_for(user: User) -> bool:
    """Returns whether an identity provider has verified the person's address.

    See account/identity_providers/oidc.py.
    """
    return bool(SocialAccount.objects.filter(user_id=user.pk).exists())


def invitations_for(user: User) -> list[Link]:
    if not is_vouched_for(user):
        return []
    with person_scope(user.pk):
        pairs = list(Link.objects.invited(user.email).values_list("tenant_id", "pk"))
    invitations = []
    for tenant_id, pk in pairs:
        with tenant_scope(tenant_id):
            link = Link.objects.usable().select_related("tenant").filter(pk=pk).first()
            if link and link.maker_may():
                invitations.append(link)
    return invitations


@require_POST
@signed_in
def acceptance(request: ConsoleRequest, link: UUID) -> HttpResponse:
    invitation = next((one for one in invitations_for(request.user) if one.pk == link), None)
    if invitation is None or invitation.tenant is None:
        raise Http404
    try:
        with tenant_scope(invitation.tenant.id, request.user.pk):
            invitation.join(request.user)
    except AlreadyUsed:
        raise Http404 from None
    except OperatorsStayOut:
        messages.error(request, _("Operators cannot join this tenant."))
        return redirect("console:account")
    except OwnInvitation:
        messages.error(request, OWN_INVITATION)
        return redirect("console:account")
    messages.success(request, _("You have joined %(tenant)s.") % {"tenant": invitation.tenant.name})
    return redirect("console:home")
