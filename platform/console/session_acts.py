"""Sign-ins, refusals and sign-outs on the record, where those can find them who must."""

from collections.abc import Iterator
from ipaddress import ip_address
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from audit.actions import Action
from audit.record import act
from inference.ledger import network
from tenants.models import Member, User


def record(action: Action, request: HttpRequest, user: User | None, *, success: bool) -> None:
    for actor, tenant_id, subject_id in _concerned(user):
        act(
            action,
            actor=actor,
            tenant_id=tenant_id,
            subject_id=subject_id,
            success=success,
            client_net=network(client_ip(request)),
        )


def _concerned(user: User | None) -> Iterator[tuple[str, UUID | None, UUID | None]]:
    """A member's tenants each get their own event; operators and strangers the platform's."""
    if user is None:
        yield "unknown", None, None  # what was typed is not kept: it may be a password
        return
    members = [] if user.is_operator else list(Member.objects.of(user))
    for member in members:
        yield member.actor, member.tenant_id, member.subject_id
    if not members:
        yield user.actor, None, None


def client_ip(request: HttpRequest) -> str:
    """Counted from the right through as many proxies as we trust; the rest anybody can fake."""
    proxies = settings.TRUSTED_PROXIES
    hops = request.headers.get("X-Forwarded-For", "").split(",")
    trusted = 0 < proxies <= len(hops)
    seen = hops[-proxies] if trusted else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ip_address(seen.strip()))
    except ValueError:
        return ""
