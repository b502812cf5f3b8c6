"""The duty to have a second factor, its state, and its reset after a loss."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from audit.actions import Action
from tenants.accounts.person_acts import record
from tenants.accounts.sessions import end_sessions
from tenants.models import Member, User
from tenants.roles import Profile, Role, readers
from tenants.scope import person_scope

REQUIRED, OPTIONAL = "required", "optional"
# Roles that manage a tenant, or may read its people's prompts under any profile: a tenant's profile
# can change, and the duty must not begin after the texts have become readable.
BOUND_ROLES = {Role.OWNER, Role.ADMIN, Role.REVIEWER, Role.AGENT}.union(*map(readers, Profile))
FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def requires(user: User) -> bool:
    """Returns whether the person must have a second factor, unless the duty is turned off.

    Operators must, and whoever has one of BOUND_ROLES in any tenant.
    """
    if settings.SECOND_FACTOR == OPTIONAL or user.is_operator:
        return settings.SECOND_FACTOR != OPTIONAL
    with person_scope(user.pk):
        return Member.objects.filter(user=user, role__in=BOUND_ROLES).exists()


def enrolled(user: User) -> bool:
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists())


def must_enrol(user: User) -> bool:
    """Returns True if the person must enrol before anything else."""
    return settings.SECOND_FACTOR != OPTIONAL and not enrolled(user) and requires(user)


def reset(user: User, *, by: str, how: str = "reset") -> int:
    """Removes every factor of a person and ends every session. Returns how many factors.

    People who must have one enrol at the next sign-in. `by`: "" for the person themselves.
    """
    with transaction.atomic():
        authenticators = Authenticator.objects.filter(user_id=user.pk)
        kinds = sorted(authenticators.values_list("type", flat=True))
        authenticators.delete()
        end_sessions(user)
        record(Action.MFA_REMOVE, user, by=by, detail={"factors": kinds, "how": how})
    return sum(kind in FACTORS for kind in kinds)
