"""Charges what a page's request stores to the tenant's bytes of a day."""

from asgiref.sync import async_to_sync
from django.http import HttpRequest

from inference.intake.charges_outside_admission import charge_stored
from inference.intake.context import Context, context_if_any
from tenants.models import Member
from tenants.rate_limits.client_address import client_ip

ROUTE = "chat"


def charge(request: HttpRequest, member: Member, size: int) -> None:
    """Raises NotAdmitted."""
    if context := context_if_any(request):
        address = client_ip(request.scope)  # type: ignore[attr-defined]  # of an ASGIRequest
        async_to_sync(_charge)(context, member, address, size)


async def _charge(context: Context, member: Member, address: str, size: int) -> None:
    caller = await context.authenticator.by_member(member.id)
    await charge_stored(context, caller, address, ROUTE, size)
