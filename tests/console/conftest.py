"""alice owns acme, bob develops there, carol audits, dave chats; charlie owns globex."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.test import Client

from tenants.models import Member, Tenant, User
from tenants.roles import Role

PASSWORD = "a forebay holds the river"
SignIn = Callable[[User | Member], Client]


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    """A cheap password hash, and no figures left over from another test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    caches["process"].clear()
    yield
    caches["process"].clear()


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
        person = who.user if isinstance(who, Member) else who
        client.force_login(person, BACKEND)
        prove(client, person)
        return client

    return signed_in


def prove(client: Client, person: User, seconds_ago: float = 0) -> None:
    """As a sign-in leaves it: who has just come in has just proved who they are."""
    session = client.session
    proof = {"method": "password", "at": time.time() - seconds_ago, "reauthenticated": True}
    session["account_authentication_methods"] = [proof]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()


BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def join(tenant: Tenant, email: str, role: Role) -> Member:
    user = User.objects.create_user(email, PASSWORD, name=email.partition("@")[0].title())
    member: Member = tenant.add_member(user, role, by="test")
    return member


@pytest.fixture(autouse=True)
def no_attempts_yet(request: pytest.FixtureRequest) -> None:
    """Other tests have tried passwords in the same minute."""
    if request.node.get_closest_marker("unit") is None:
        cache.clear()
