"""Who must have a second factor, who has one, and how somebody loses a lost one."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from audit.actions import Action
from tenants.accounts.person_acts import record
from tenants.accounts.sessions import end_sessions
from tenants.models.member import Member
from tenants.models.user import User
from tenants.roles import Profile, Role, readers
from tenants.scope import person_scope

REQUIRED, OPTIONAL = "required", "optional"
# Who manages a tenant, or may read under any profile what its people asked: a tenant's profile can
# change, and the duty must not come after the texts have opened.
BOUND_ROLES = {Role.OWNER, Role.ADMIN}.union(*map(readers, Profile))
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def bound(user: User) -> bool:
    """Returns whether the person must have a second factor, unless the duty is turned off.

    Operators must, and whoever has one of BOUND_ROLES in any tenant.
    """
    if settings.SECOND_FACTOR == OPTIONAL or user.is_operator:
        return settings.SECOND_FACTOR != OPTIONAL
    with person_scope(user.pk):
        return Member.objects.filter(user=user, role__in=BOUND_ROLES).exists()


def enrolled(user: User) -> bool:
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists())


def owed(user: User) -> bool:
    """Whether nothing may open for this person before they have enrolled."""
    return settings.SECOND_FACTOR != OPTIONAL and not enrolled(user) and bound(user)


def reset(user: User, *, by: str, how: str = "reset") -> int:
    """For a lost phone: takes every factor away and ends every session. Returns how many factors.

    Whoever must have one is led to enrol at the next sign-in. `by`: "" for the person themselves.
    """
    with transaction.atomic():
        found = Authenticator.objects.filter(user_id=user.pk)
        kinds = sorted(found.values_list("type", flat=True))
        found.delete()
        end_sessions(user)
        record(Action.MFA_REMOVE, user, by=by, detail={"factors": kinds, "how": how})
    return sum(kind in FACTORS for kind in kinds)
