"""The callers of the proof, and what they may do in their own tenant."""

from dataclasses import dataclass

from django.conf import settings

from console.isolation.asgi_client import Headers
from console.isolation.throwaway_tenants import Person, Stage
from tenants.key_scopes import key_permissions
from tenants.models import Member, Scope
from tenants.roles import Permission, Profile, Role, operator_permissions, permissions

OPERATOR, OUTSIDER, ANONYMOUS = "operator", "outsider", "anonymous"
OPERATOR_KEY = "operator key"
NAMES = (
    *(role.value for role in Role),
    *(OPERATOR, OUTSIDER, ANONYMOUS),
    *(f"key {scope}" for scope in Scope),
    OPERATOR_KEY,
)
_CSRF = "x" * 32


@dataclass(frozen=True, slots=True)
class ProofCaller:
    name: str
    headers: Headers
    permissions: frozenset[Permission] = frozenset()
    member: Member | None = None
    scope: Scope | None = None  # of a key

    @property
    def signed_in(self) -> bool:
        return self.name not in (ANONYMOUS, OPERATOR_KEY) and self.scope is None

    @property
    def inside(self) -> bool:
        """Returns whether the caller belongs to the own tenant, or operates the platform."""
        return self.name not in (OUTSIDER, ANONYMOUS)


def callers(stage: Stage) -> list[ProofCaller]:
    """Returns a caller for every role, an operator, an outsider, nobody, and a key of each scope.

    The last one is an operator's key, which has every scope of such keys.
    """
    callers_ = []
    for role in Role:
        person = stage.own.people[role]
        granted = permissions(role, Profile.ASVS)
        callers_.append(ProofCaller(role.value, _session(person), granted, person.member))
    may = operator_permissions(Profile.ASVS)
    callers_.append(ProofCaller(OPERATOR, _session(stage.operator), may))
    callers_.append(ProofCaller(OUTSIDER, _session(stage.outsider)))
    callers_.append(ProofCaller(ANONYMOUS, _HEADERS))
    for scope, text in stage.own.keys.items():
        granted = key_permissions([scope], Profile.ASVS)
        callers_.append(ProofCaller(f"key {scope}", _bearer(text), granted, scope=Scope(scope)))
    callers_.append(ProofCaller(OPERATOR_KEY, _bearer(stage.operator_key)))
    return callers_


# A form's token is no secret of a person: everybody sends one that fits.
_TOKEN = f"{settings.CSRF_COOKIE_NAME}={_CSRF}".encode()
_HEADERS = [(b"cookie", _TOKEN), (b"x-csrftoken", _CSRF.encode())]


def _bearer(text: str) -> Headers:
    return [(b"authorization", f"Bearer {text}".encode()), *_HEADERS]


def _session(person: Person) -> Headers:
    cookie = _TOKEN + f"; {settings.SESSION_COOKIE_NAME}={person.session}".encode()
    return [(b"cookie", cookie), *_HEADERS[1:]]
