"""A person's profile and memberships for their export."""

from collections.abc import Iterator
from uuid import UUID

from audit.exports.portability import Portable, Row, register, register_actors
from tenants.models import ApiKey, Member
from tenants.personal_data.erasure import actors_of


def _profile(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    people = Member.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    for member in people.select_related("user", "tenant"):
        yield {
            "email": member.user.email,
            "name": member.user.name,
            "account_since": member.user.created_at,
            "last_sign_in": member.user.last_login,
        }


def _memberships(tenant_id: UUID, subject_id: UUID) -> Iterator[Row]:
    people = Member.objects.filter(tenant_id=tenant_id, subject_id=subject_id)
    for member in people.select_related("tenant"):
        teams = member.tenant.teams.filter(memberships__member=member).order_by("name")
        yield {
            "tenant": member.tenant.name,
            "role": member.role,
            "since": member.created_at,
            "teams": [team.name for team in teams],
            "keys_created": [_key(key) for key in ApiKey.objects.filter(created_by=member)],
        }
    for key in ApiKey.objects.filter(tenant_id=tenant_id, subject_id=subject_id):
        yield {"key": _key(key)}


def _key(key: ApiKey) -> Row:
    return {
        "name": key.name,
        "public_id": key.public_id,
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def register_portables() -> None:
    register(Portable("profile", _profile))
    register(Portable("memberships", _memberships))
    register_actors(actors_of)
