"""Checks of accounts: second factors, passwords, sessions, locks, and people who stay away."""

from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.hashers import (
    UNUSABLE_PASSWORD_PREFIX,
    identify_hasher,
    is_password_usable,
)
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string

from audit.actions import Action
from console.account import lockout
from console.account.password_policy import POLICIES
from console.compliance.check import CheckOutcome, outcome
from console.compliance.queries import DAYS, acts, people, since
from tenants.accounts.second_factor_policy import BOUND_ROLES, FACTORS, OPTIONAL
from tenants.accounts.sessions import ABSOLUTE_S, IDLE_S
from tenants.models import Tenant, User
from tenants.roles import Profile

MIDDLEWARE = "console.account.session_limits.SessionLimits"
MOST_IDLE_S, MOST_TRIES, LEAST_REST = 30 * 60, 5, timedelta(minutes=30)
WEAK = {
    Profile.ASVS: ("Sh0rt!pass", "qwertyuiop12"),
    Profile.MLPS: ("Sh0rt!pass", "qwertyuiop12", "all small letters", "NoDigitsInHere!"),
}


def second_factors(tenant: Tenant | None) -> CheckOutcome:
    must = _must_have_factor(tenant)
    having = Authenticator.objects.filter(type__in=FACTORS).values("user_id")
    bound, enrolled = must.count(), must.filter(pk__in=having).count()
    figures = {
        "must": bound,
        "enrolled": enrolled,
        "others_enrolled": people(tenant).filter(pk__in=having).count() - enrolled,
        "enforced": settings.SECOND_FACTOR != OPTIONAL,
    }
    return outcome(figures, optional=not figures["enforced"], missing=enrolled < bound)


def _must_have_factor(tenant: Tenant | None) -> QuerySet[User]:
    """Returns all who must have one, like second_factor_policy.requires() for one person."""
    if tenant:
        users = people(None).filter(memberships__tenant=tenant, memberships__role__in=BOUND_ROLES)
    else:
        users = people(None).filter(Q(is_operator=True) | Q(memberships__role__in=BOUND_ROLES))
    return users.distinct()


def default_accounts(tenant: Tenant | None) -> CheckOutcome:
    users = people(tenant)
    passwords = users.values_list("password", flat=True)
    unsafe = sum(not _is_safe(encoded) for encoded in passwords)
    superusers = users.filter(Q(is_superuser=True)).count()
    figures = {"people": len(passwords), "unsafe_passwords": unsafe, "superusers": superusers}
    return outcome(figures, unsafe=unsafe, superuser=superusers)


def _is_safe(encoded: str) -> bool:
    """Returns whether the password is hashed by one of the platform's hashers, or unusable."""
    if not encoded:
        return False
    if not is_password_usable(encoded):
        return True
    try:
        identify_hasher(encoded)
    except ValueError:
        return False
    return True


def dormant_accounts(tenant: Tenant | None) -> CheckOutcome:
    long_ago = since()
    never = Q(last_login=None, created_at__lt=long_ago)
    users = people(tenant)
    dormant = users.filter(Q(last_login__lt=long_ago) | never).count()
    figures = {"people": users.count(), "dormant": dormant, "after_days": DAYS}
    return outcome(figures, dormant=dormant)


def profile(tenant: Tenant | None) -> CheckOutcome:
    figures: dict[str, Any] = {"profile": _profile_of(tenant)}
    if tenant is None:
        mlps = Tenant.objects.filter(profile=Profile.MLPS).count()
        figures |= {"tenants_mlps": mlps, "tenants_others": Tenant.objects.count() - mlps}
    return outcome(figures, not_mlps=figures["profile"] != Profile.MLPS)


def _profile_of(tenant: Tenant | None) -> Profile:
    return Profile(tenant.profile if tenant else settings.PROFILE)


def passwords(tenant: Tenant | None) -> CheckOutcome:
    name = _profile_of(tenant)
    policy, weak = POLICIES[name], WEAK[name]
    accepted = sum(_is_accepted(word, name) for word in weak)
    overdue, of = _overdue(tenant)
    figures = {
        "profile": name,
        "shortest": policy.shortest,
        "classes": policy.classes,
        "good_for_days": policy.good_for_days,
        "not_reused": policy.not_reused,
        "weak_tried": len(weak),
        "weak_taken": accepted,
        "people": of,
        "overdue": overdue,
        "share_in_time": round((of - overdue) * 100 / of, 1) if of else 100.0,
    }
    return outcome(figures, weak_taken=accepted)


def _is_accepted(password: str, profile: Profile) -> bool:
    somebody = User()
    somebody.joining = (profile,)
    try:
        validate_password(password, somebody)
    except ValidationError:
        return False
    return True


def _overdue(tenant: Tenant | None) -> tuple[int, int]:
    """Returns how many people bound by mlps-l3 have too old a password, and how many there are."""
    bound = Q(memberships__tenant__profile=Profile.MLPS)
    if tenant is None and settings.PROFILE == Profile.MLPS:
        bound |= Q(is_operator=True)
    no_password = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    with_password = people(tenant).filter(bound).exclude(no_password).distinct()
    days = POLICIES[Profile.MLPS].good_for_days or 0
    late = with_password.filter(password_changed_at__lte=since(days))
    return late.count(), with_password.count()


def sessions(_tenant: Tenant | None) -> CheckOutcome:
    too_long = timezone.now() + timedelta(seconds=ABSOLUTE_S, minutes=5)
    lasting = Session.objects.filter(expire_date__gt=too_long).count()
    figures = {
        "idle_minutes_mlps": IDLE_S[Profile.MLPS] // 60,
        "idle_minutes_asvs": IDLE_S[Profile.ASVS] // 60,
        "absolute_hours": ABSOLUTE_S // 3600,
        "lasting_longer": lasting,
    }
    unlimited = MIDDLEWARE not in settings.MIDDLEWARE or IDLE_S[Profile.MLPS] > MOST_IDLE_S
    return outcome(figures, no_limit=unlimited, lasting=lasting)


def lockouts(tenant: Tenant | None) -> CheckOutcome:
    counts = acts(tenant)
    figures: dict[str, object] = {
        "tries": lockout.MOST,
        "rest_minutes": int(lockout.REST.total_seconds() // 60),
        "locked": counts[Action.SESSION_LOCKED],
        "refused_sign_ins": counts[Action.SESSION_DENIED],
        "signed_in": counts[Action.SESSION_LOGIN],
    }
    if tenant is None:
        figures["counting_now"] = AccessAttempt.objects.count()
        figures["sessions"] = UserSession.objects.count()
    return outcome(figures, no_lock=not _lockout_works())


def _lockout_works() -> bool:
    handler = import_string(settings.AXES_HANDLER)
    installed = "axes.backends.AxesStandaloneBackend" in settings.AUTHENTICATION_BACKENDS
    strict = lockout.MOST <= MOST_TRIES and lockout.REST >= LEAST_REST
    return installed and strict and issubclass(handler, lockout.Lockout)
