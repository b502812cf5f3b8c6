"""A tenant for drills: its key, its person and their session, which end with the drills."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

from config.drills.doors.batch import Batch
from config.drills.doors.chat import Chat
from config.drills.doors.grpc import Grpc
from config.drills.doors.rest import Hosts, Rest
from config.drills.load import Door, Load
from tenants.accounts.sessions import SessionStore
from tenants.models import ApiKey, Quota, Tenant, User
from tenants.roles import Role
from tenants.scope import system_scope

TENANT, PERSON = "drill", "drill@forebay.invalid"
BY = "command:drill"
_UNLIMITED = dict.fromkeys(
    ("requests_per_minute", "burst", "tokens_per_minute", "max_concurrency"), 0
)
_TOKENS_A_DAY = 10**12  # a quota, so that the ledger has each request
_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
_DAYS = 1  # it is revoked at the end; this is for a drill that is killed


@dataclass(frozen=True, slots=True)
class Addresses:
    """The front doors; `grpc` and `chat` may be empty."""

    http: Sequence[str]
    grpc: Sequence[str]
    chat: bool
    model: str


@dataclass(frozen=True, slots=True)
class Clients:
    tenant: Tenant
    key: str
    session: str
    addresses: Addresses

    def load(self, clients: int) -> Load:
        return Load(list(self._doors()), clients)

    def _doors(self) -> Iterator[Door]:
        where, model = self.addresses, self.addresses.model
        yield Rest(Hosts(where.http, self.key), model, stream=False)
        yield Rest(Hosts(where.http, self.key), model, stream=True)
        yield Batch(Hosts(where.http, self.key), model)
        if where.grpc:
            yield Grpc(where.grpc, self.key, model)
        if self.session:
            yield Chat(where.http, self.session, self.tenant.name, model)


@contextmanager
def clients(addresses: Addresses) -> Iterator[Clients]:
    """Yields clients whose key and session end with the block."""
    with system_scope():
        tenant = Tenant.objects.filter(name=TENANT).first() or _opened()
        key, text = ApiKey.issue(tenant, "drill", by=BY, days=_DAYS)
    session = None
    try:
        session = _session(tenant) if addresses.chat else None
        yield Clients(tenant, text, str(session.session_key) if session else "", addresses)
    finally:
        with system_scope():
            key.revoke(by=BY, reason="the drill is over")
        if session:
            session.delete()


def _opened() -> Tenant:
    tenant = Tenant.open(TENANT, by=BY, **_UNLIMITED)
    Quota.set(tenant, unit="tokens", window="day", limit=_TOKENS_A_DAY, by=BY, platform=True)
    return tenant


def _session(tenant: Tenant) -> SessionStore:
    """Returns the session of a person who can sign in in no other way."""
    with system_scope():
        user = User.objects.filter(email=PERSON).first() or User.objects.create_user(PERSON, None)
        if not tenant.members.filter(user=user).exists():
            tenant.add_member(user, Role.MEMBER, by=BY)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = _BACKEND
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session
