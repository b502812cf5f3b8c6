"""Quotas that count a person's chat, tenant by tenant."""

from dataclasses import dataclass

from django.db.models import Q

from console.quota_lines import Line, lines
from tenants.models import Member, Tenant, User
from tenants.scope import tenant_scope

MOST_TENANTS = 20


@dataclass(frozen=True, slots=True)
class OwnQuotas:
    tenant: Tenant
    lines: list[Line]


def own_quotas(user: User) -> list[OwnQuotas]:
    """Returns the quotas per tenant, without tenants whose quotas do not count this person."""
    members = Member.objects.filter(user=user).select_related("tenant").order_by("tenant__name")
    own = [OwnQuotas(member.tenant, _lines(member)) for member in members[:MOST_TENANTS]]
    return [quotas for quotas in own if quotas.lines]


def _lines(member: Member) -> list[Line]:
    with tenant_scope(member.tenant_id, member.user_id):
        counting = Q(member=member) | Q(member=None, api_key=None)
        return lines(member.tenant, member.tenant.quotas.filter(counting))
