"""Records of operators' access to a tenant, in the tenant's own audit trail."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from audit.trail.record import act
from audit.trail.truncated_address import network
from console.client_network import client_ip
from tenants.models import Tenant

ONCE_IN = timedelta(minutes=10)


def record(request: HttpRequest, actor: str, tenant: Tenant) -> None:
    """Record once per actor, tenant and ONCE_IN: pages refresh their figures all the time."""
    events = Event.objects.of_tenant(tenant.id).by(actor)
    recent = events.between(timezone.now() - ONCE_IN, None)
    if not recent.filter(action=Action.OPERATOR_ACCESS).exists():
        act(
            Action.OPERATOR_ACCESS,
            actor=actor,
            tenant_id=tenant.id,
            client_net=network(client_ip(request)),
        )
