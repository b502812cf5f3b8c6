"""The caller of the management API, a key or a person, and what they may do in a tenant."""

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from console.account.reauthentication import is_proven
from console.api.problem import Problem, denied, first_or_404, not_found
from console.client_network import client_ip
from tenants import secret_keys
from tenants.accounts.required_actions import duty
from tenants.authentication.restriction import SAID, is_restricted
from tenants.key_scopes import ROLES_OF_KEYS
from tenants.models import ApiKey, Member, OperatorKey, Tenant, User
from tenants.models.key_permissions import permissions_of
from tenants.models.tenant import State
from tenants.roles import Permission, Role, operator_permissions
from tenants.scope import person_scope, system_scope, tenant_scope


@dataclass(frozen=True, slots=True)
class Requester:
    """A key, an operator's key or a person: one of `key`, `operator_key` and `user` is set.

    Inside a tenant, `permissions` are those that hold there. With a key of an operator nobody is an
    operator: its scopes open acts one by one (`Act.scopes`).
    """

    key: ApiKey | None = None
    operator_key: OperatorKey | None = None
    user: User | None = None
    member: Member | None = None
    permissions: frozenset[Permission] = frozenset()

    @property
    def actor(self) -> str:
        if key := self.key or self.operator_key:
            return key.actor
        assert self.user
        return self.member.actor if self.member else self.user.actor

    @property
    def is_operator(self) -> bool:
        return bool(self.user and self.user.is_operator)

    def roles_to_give(self) -> frozenset[Role]:
        """Returns no role that may do more than its giver. Owners and operators give all.

        A key gives none: a person has no end, no networks and no scopes, and makes keys that have
        none either.
        """
        if self.key:
            return frozenset()
        return frozenset(
            role
            for role in Role
            if self.is_operator or (self.member and self.member.may_give(role))
        )

    def roles_to_take(self) -> frozenset[Role]:
        """Returns the roles whose holders they may lower or remove, and the invitations into them.

        A key takes those that may do little: it ends what it could never begin.
        """
        return frozenset(ROLES_OF_KEYS) if self.key else self.roles_to_give()

    def in_tenant(self, name: str) -> tuple["Requester", Tenant]:
        """Returns the caller with their permissions in a tenant, and the tenant.

        Raises Problem: 404 for a stranger's tenant.
        """
        if self.operator_key:
            return self._with_operator_key(name)
        return self._with_key(name) if self.key else self._in_person(name)

    def _with_key(self, name: str) -> tuple["Requester", Tenant]:
        assert self.key
        tenant = self.key.tenant
        if tenant.name != name:
            raise not_found()
        return replace(self, permissions=permissions_of(self.key)), tenant

    def _with_operator_key(self, name: str) -> tuple["Requester", Tenant]:
        """Returns the permissions of an operator, of which the key's scopes open a few."""
        tenant = _tenant(name)
        return replace(self, permissions=operator_permissions(tenant.profile)), tenant

    def _in_person(self, name: str) -> tuple["Requester", Tenant]:
        assert self.user
        member = self._membership(name)
        if self.is_operator:
            tenant = _tenant(name)
        elif member:
            tenant = member.tenant
        else:
            raise not_found()
        granted = operator_permissions(tenant.profile) if self.is_operator else frozenset()
        if member:
            granted |= member.permissions
        if tenant.state != State.ACTIVE and not self.is_operator:
            raise closed(tenant)
        return replace(self, member=member, permissions=granted), tenant

    def _membership(self, name: str) -> Member | None:
        assert self.user
        with person_scope(self.user.pk):
            return Member.objects.of(self.user).filter(tenant__name=name).first()


def _tenant(name: str) -> Tenant:
    """Returns any tenant, for those who operate the platform. Raises Problem."""
    with system_scope():
        return first_or_404(Tenant.objects.filter(name=name))


class OperatorKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sk-fbop-…`. Looked up for each request: a revoked one is refused."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Requester] | None:
        text = _bearer(request)
        if text is None or not text.startswith(secret_keys.OPERATOR_PREFIX):
            return None
        key = _operator_key(text)
        if key is None:
            raise AuthenticationFailed(_("This key is invalid, revoked or expired."))
        return AnonymousUser(), Requester(operator_key=key)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="forebay"'


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer sk-fb-…`. Looked up for each request: a revoked one is refused."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Requester] | None:
        text = _bearer(request)
        if text is None:
            return None
        key = _key(text)
        if key is None:
            raise AuthenticationFailed(_("This key is invalid, revoked or expired."))
        return AnonymousUser(), Requester(key=key)

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="forebay"'


def _bearer(request: Request) -> str | None:
    """Returns the key of the header Authorization, "" for another scheme, None without one."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _space, text = header.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def _key(text: str) -> ApiKey | None:
    if not secret_keys.well_formed(text):
        return None
    digest = secret_keys.digest(text)
    with connection.cursor() as cursor:
        cursor.execute("select tenants_tenant_of_key(%s)", [digest])
        (tenant_id,) = cursor.fetchone()
    if tenant_id is None:
        return None
    with tenant_scope(tenant_id):
        keys = ApiKey.objects.live().select_related("tenant", "created_by__user")
        key = keys.filter(digest=digest).first()
    return None if key is None or key.expired else key


def _operator_key(text: str) -> OperatorKey | None:
    if not secret_keys.well_formed(text, secret_keys.OPERATOR_PREFIX):
        return None
    with connection.cursor() as cursor:
        cursor.execute("select tenants_operator_key(%s)", [secret_keys.digest(text)])
        (key_id,) = cursor.fetchone()
    if key_id is None:
        return None
    with system_scope():
        key = OperatorKey.objects.working().select_related("created_by").filter(pk=key_id).first()
        if key:
            key.note_use()
    return key


class PersonAuthentication(SessionAuthentication):
    """A session of the console. Requests that change something need its CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        pair = super().authenticate(request)
        return None if pair is None else (pair[0], Requester(user=pair[0]))


def refuse_where_closed(request: Request, who: Requester) -> None:
    """Refuses callers that no tenant lets in. Raises Problem.

    A key's tenant must be active and its address allowed. A person must have no action pending,
    and, to change something, a recent proof of their identity.
    """
    if who.key and who.key.tenant.state != State.ACTIVE:
        raise closed(who.key.tenant)
    if key := who.key or who.operator_key:
        if not _is_allowed_address(key.allowed_networks, client_ip(request._request)):
            raise denied(_("This key is not accepted from this address."), "address_not_accepted")
    elif who.user and duty(request._request.session, who.user):
        raise denied(_("Sign in to the console first: an action is required there."), "duty_owed")
    elif request.method not in SAFE_METHODS and not is_proven(request._request):
        raise proof_needed()


def proof_needed() -> Problem:
    text = _(
        "Confirm your identity in the console: the last confirmation is more than ten minutes old."
    )
    return denied(text, "proof_needed")


def refuse_where_restricted(request: Request, who: Requester) -> None:
    """Refuses changes by a caller whose data is restricted. Raises Problem."""
    caller = None if request.method in SAFE_METHODS else who.key or who.member
    if caller and is_restricted(caller.tenant_id, caller.subject_id):
        raise denied(str(SAID), "restricted")


def closed(tenant: Tenant) -> Problem:
    suspended = tenant.state == State.SUSPENDED
    text = _("The tenant is suspended.") if suspended else _("The tenant is closing.")
    return Problem(403, f"tenant_{tenant.state}", text)


def _is_allowed_address(networks: list[str], address: str) -> bool:
    if not networks:
        return True
    try:
        ip = ip_address(address)
    except ValueError:  # no address: a socket file
        return False
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in ip_network(network) for network in networks)
