"""Who asks, and what they may do in their own tenant."""

from dataclasses import dataclass

from django.conf import settings

from console.isolation.asgi_client import Headers
from console.isolation.stage import Person, Stage
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
class Caller:
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
        """Belongs to the own tenant, or runs the platform."""
        return self.name not in (OUTSIDER, ANONYMOUS)


def callers(stage: Stage) -> list[Caller]:
    """Every role, an operator, somebody who belongs nowhere, nobody, and a key of each scope.

    And a key of an operator, which has every scope there is for one.
    """
    found = []
    for role in Role:
        person = stage.own.people[role]
        held = permissions(role, Profile.ASVS)
        found.append(Caller(role.value, _session(person), held, person.member))
    may = operator_permissions(Profile.ASVS)
    found.append(Caller(OPERATOR, _session(stage.operator), may))
    found.append(Caller(OUTSIDER, _session(stage.outsider)))
    found.append(Caller(ANONYMOUS, _HEADERS))
    for scope, text in stage.own.keys.items():
        held = key_permissions([scope], Profile.ASVS)
        found.append(Caller(f"key {scope}", _bearer(text), held, scope=Scope(scope)))
    found.append(Caller(OPERATOR_KEY, _bearer(stage.operator_key)))
    return found


# A form's token is no secret of a person: everybody sends one that fits.
_TOKEN = f"{settings.CSRF_COOKIE_NAME}={_CSRF}".encode()
_HEADERS = [(b"cookie", _TOKEN), (b"x-csrftoken", _CSRF.encode())]


def _bearer(text: str) -> Headers:
    return [(b"authorization", f"Bearer {text}".encode()), *_HEADERS]


def _session(person: Person) -> Headers:
    cookie = _TOKEN + f"; {settings.SESSION_COOKIE_NAME}={person.session}".encode()
    return [(b"cookie", cookie), *_HEADERS[1:]]
