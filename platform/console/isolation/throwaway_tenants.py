"""Two throw-away tenants with people of each role, keys, and an object for each address.

The people belong to `own`. Everything of `other` has its secret word in it, so that the word in an
answer is a leak. Nobody can sign in as these people: they have no password.
"""

import secrets
import time
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group
from django.utils import timezone

from audit.actions import Action
from audit.trail.record import act
from console.isolation.sample_objects import BY, Objects
from tenants.accounts import sessions
from tenants.models import ApiKey, Member, OperatorKey, Scope, Tenant, User
from tenants.models.tier import LIMITS
from tenants.operator_scopes import OperatorScope
from tenants.roles import Profile, Role
from tenants.scope import system_scope

PREFIX = "isolation"
_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
_store: Any = import_module(settings.SESSION_ENGINE).SessionStore


@dataclass(frozen=True, slots=True)
class Person:
    user: User
    member: Member | None
    session: str


@dataclass(slots=True)
class Side:
    """One of the two tenants, with its people, keys and objects."""

    tenant: Tenant
    secret: str
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # scope -> the key's text
    objects: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.objects = Objects(self.tenant, self.secret)

    @property
    def chatting(self) -> Member:
        """Returns the member whose conversation is used for people who have none."""
        member = self.people[Role.MEMBER].member
        assert member
        return member


@dataclass(slots=True)
class Stage:
    own: Side
    other: Side
    operator: Person
    outsider: Person
    operator_key: str = field(repr=False)  # its text; it has every scope

    @classmethod
    def set(cls) -> "Stage":
        with system_scope():
            operator = _person("operator")
            key = _operator_key(operator.user)
            return cls(_side("own"), _side("other"), operator, _person("outsider"), key)

    def clear(self) -> None:
        """Delete everything but the records in the audit trail."""
        for side in (self.own, self.other):
            with system_scope():  # one each: a rotation of the master key waits for both tenants'
                side.objects.clear()
                _close(side.tenant)
        with system_scope():
            inside = [p for side in (self.own, self.other) for p in side.people.values()]
            for person in (*inside, self.operator, self.outsider):
                _store(person.session).delete()
            OperatorKey.objects.filter(created_by=self.operator.user).delete()
            User.objects.filter(email__endswith=f"@{self.own.secret}.invalid").delete()
            User.objects.filter(email__endswith=f"@{self.other.secret}.invalid").delete()
            User.objects.filter(pk__in=[self.operator.user.pk, self.outsider.user.pk]).delete()


def _side(name: str) -> Side:
    free = dict.fromkeys(LIMITS, 0)
    tenant = Tenant.open(f"{PREFIX}-{name}-{secrets.token_hex(4)}", by=BY, **free)
    side = Side(tenant, f"word{secrets.token_hex(6)}")
    for role in Role:
        side.people[role] = _person(role, side, role)
    for scope in Scope:
        name = f"{scope} {side.secret}"
        key, side.keys[scope] = ApiKey.issue(tenant, name, by=BY, scopes=[scope.value])
        if scope == Scope.INFERENCE:
            side.objects.asked_with = key
    side.objects.furnish()
    side.objects.conversation(side.chatting)
    side.objects.attachment(side.chatting)
    side.objects.preset(side.chatting)
    side.objects.folder(side.chatting)
    side.objects.share(side.chatting)
    side.objects.message(side.chatting)
    side.objects.upload(side.chatting)
    return side


def _person(name: str, side: Side | None = None, role: Role | None = None) -> Person:
    email = f"{name}@{side.secret if side else secrets.token_hex(6)}.invalid"
    user = User.objects.create_user(email, is_operator=name == "operator")
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": ""})
    member = side.tenant.add_member(user, role, by=BY) if side and role else None
    return Person(user, member, _session(user))


def _operator_key(operator: User) -> str:
    soon = timezone.now() + timedelta(days=1)
    scopes = list(OperatorScope.values)
    _key, text = OperatorKey.issue(
        operator, PREFIX, scopes=scopes, expires_at=soon, requests_per_minute=0
    )
    return text


def _session(user: User) -> str:
    """Make a session that is signed in and has just proved the person's identity."""
    session = _store()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = _BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session["account_authentication_methods"] = [
        {"method": method, "at": time.time(), "reauthenticated": True}
        for method in ("password", "mfa")
    ]
    session["account_authentication_methods_user"] = str(user.pk)
    sessions.seen(session, Profile.ASVS)
    session.set_expiry(timedelta(hours=1))
    session.save()
    return str(session.session_key)


def _close(tenant: Tenant) -> None:
    groups = [key.group_id for key in tenant.api_keys.all()]
    groups += [team.group_id for team in tenant.teams.all()]
    act(Action.TENANT_CLOSE, actor=BY, tenant_id=tenant.id, detail={"reason": "isolation shown"})
    tenant.delete()
    bare = Group.objects.filter(team__isnull=True, api_key__isnull=True)
    bare.filter(pk__in=[group for group in groups if group]).delete()
