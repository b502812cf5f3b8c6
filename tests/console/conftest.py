"""alice owns acme, bob develops there, carol audits, dave chats; charlie owns globex."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from inference.queue.client import client
from tenants.models import Member, Tenant, User
from tenants.roles import Role

PASSWORD = "a forebay holds the river"
SignIn = Callable[[User | Member], Client]


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    """A cheap password hash, and no figures left over from another test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def acme(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def globex(db: None) -> Tenant:
    return Tenant.open("globex", by="test")


@pytest.fixture
def alice(acme: Tenant) -> Member:
    return join(acme, "alice@acme.example", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example", Role.DEVELOPER)


@pytest.fixture
def carol(acme: Tenant) -> Member:
    return join(acme, "carol@acme.example", Role.AUDITOR)


@pytest.fixture
def dave(acme: Tenant) -> Member:
    return join(acme, "dave@acme.example", Role.MEMBER)


@pytest.fixture
def erin(acme: Tenant) -> Member:
    return join(acme, "erin@acme.example", Role.ADMIN)


@pytest.fixture
def charlie(globex: Tenant) -> Member:
    return join(globex, "charlie@globex.example", Role.OWNER)


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_user("op@forebay.example", PASSWORD, is_operator=True)


@pytest.fixture
def sign_in() -> SignIn:
    def signed_in(who: User | Member) -> Client:
        client = Client()
        client.force_login(who.user if isinstance(who, Member) else who, BACKEND)
        return client

    return signed_in


BACKEND = "django.contrib.auth.backends.ModelBackend"


def join(tenant: Tenant, email: str, role: Role) -> Member:
    user = User.objects.create_user(email, PASSWORD, name=email.partition("@")[0].title())
    member: Member = tenant.add_member(user, role, by="test")
    return member


@pytest.fixture(autouse=True)
def no_attempts_yet(request: pytest.FixtureRequest) -> None:
    """Other tests have tried passwords in the same minute."""
    if request.node.get_closest_marker("unit") is None:
        for key in client().scan_iter("signin:*"):
            client().delete(key)
