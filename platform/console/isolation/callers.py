"""Who asks, and what they may do in their own tenant."""

from dataclasses import dataclass

from django.conf import settings

from console.isolation.asgi_client import Headers
from console.isolation.stage import Person, Stage
from tenants.key_scopes import key_permissions
from tenants.models import Member, Scope
from tenants.roles import Permission, Profile, Role, operator_permissions, permissions

OPERATOR, OUTSIDER, ANONYMOUS = "operator", "outsider", "anonymous"
NAMES = (
    *(role.value for role in Role),
    *(OPERATOR, OUTSIDER, ANONYMOUS),
    *(f"key {scope}" for scope in Scope),
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
        return self.name != ANONYMOUS and self.scope is None

    @property
    def inside(self) -> bool:
        """Belongs to the own tenant, or runs the platform."""
        return self.name not in (OUTSIDER, ANONYMOUS)


def callers(stage: Stage) -> list[Caller]:
    """Every role, an operator, somebody who belongs nowhere, nobody, and a key of each scope."""
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
        key = (b"authorization", f"Bearer {text}".encode())
        held = key_permissions([scope], Profile.ASVS)
        found.append(Caller(f"key {scope}", [key, *_HEADERS], held, scope=Scope(scope)))
    return found


# A form's token is no secret of a person: everybody sends one that fits.
_TOKEN = f"{settings.CSRF_COOKIE_NAME}={_CSRF}".encode()
_HEADERS = [(b"cookie", _TOKEN), (b"x-csrftoken", _CSRF.encode())]


def _session(person: Person) -> Headers:
    cookie = _TOKEN + f"; {settings.SESSION_COOKIE_NAME}={person.session}".encode()
    return [(b"cookie", cookie), *_HEADERS[1:]]
