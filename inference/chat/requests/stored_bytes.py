"""Counts what a page's request stores against the tenant's bytes of a day."""

from asgiref.sync import async_to_sync
from django.http import HttpRequest

from inference.intake.context import Context, context_if_any
from inference.intake.rate_limits import count_stored_bytes
from tenants.models import Member
from tenants.rate_limits.client_address import client_ip

ROUTE = "chat"


def count(request: HttpRequest, member: Member, size: int) -> None:
    """Raises NotAdmitted."""
    if context := context_if_any(request):
        address = client_ip(request.scope)  # type: ignore[attr-defined]  # of an ASGIRequest
        async_to_sync(_count)(context, member, address, size)


async def _count(context: Context, member: Member, address: str, size: int) -> None:
    caller = await context.authenticator.by_member(member.id)
    await count_stored_bytes(context, caller, address, ROUTE, size)
