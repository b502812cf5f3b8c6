"""The page to which people are sent after signing in."""

from django.http import HttpResponse
from django.shortcuts import redirect, render, resolve_url

from console.account.invitations import invitations_for
from console.authorization import ConsoleRequest, signed_in
from tenants.models import Member, User
from tenants.models.tenant import State
from tenants.roles import Permission

CHAT = "/chat/"


@signed_in
def home(request: ConsoleRequest) -> HttpResponse:
    return redirect(landing(request.user))


@signed_in
def no_tenant(request: ConsoleRequest) -> HttpResponse:
    return render(request, "console/no_tenant.html")


def first_page(member: Member) -> str:
    """Returns the name of the first console page that the member may see; "" if there is none."""
    if member.may(Permission.VIEW_USAGE):
        return "console:overview"
    if member.may(Permission.VIEW_DECISIONS):
        return "console:reviews"
    return "console:inbox" if member.may(Permission.ANSWER_DIALOGUES) else ""


def landing(user: User) -> str:
    """Returns the console for operators and tenant staff, the chat for everyone else."""
    if user.is_operator:
        return resolve_url("console:platform")
    members = list(Member.objects.of(user).order_by("tenant__name"))
    for member in sorted(members, key=lambda member: member.tenant.state != State.ACTIVE):
        if page := first_page(member):
            return resolve_url(page, tenant=member.tenant.name)
    if members:
        return CHAT
    return resolve_url("console:account" if invitations_for(user) else "console:no_tenant")
