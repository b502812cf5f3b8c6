"""Signing in by an identity provider that really runs, on loopback."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db import connection
from django.test import Client

from audit.actions import Action
from audit.models import Event
from bench.servers.child import Child
from config import environment
from config.supervisor.ports import find_free
from tenants.models import Link, Member, Tenant, User
from tenants.models.link import LinkQuerySet, Purpose
from tenants.roles import Role
from tests.console.account.conftest import code, try_password, with_app
from tests.console.conftest import PASSWORD, SignIn

GRACE = "grace@acme.example"
PEOPLE: dict[str, dict[str, object]] = {
    "alice": {"email": "alice@acme.example", "email_verified": True},
    "grace": {"email": GRACE, "email_verified": True, "name": "Grace"},
    "unverified": {"email": "alice@acme.example", "email_verified": False},
    "wordy": {"email": "alice@acme.example", "email_verified": "false"},
    "silent": {"email": "alice@acme.example"},
    "nameless": {},
}
SignInBy = Callable[..., Any]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = find_free()
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    for sub, claims in PEOPLE.items():
        command += ["--user-claims", json.dumps({"sub": sub, **claims})]
    child = Child(command, tmp_path_factory.mktemp("oidc") / "provider.log")
    try:
        url = f"http://127.0.0.1:{port}"
        child.wait_until_ready(f"{url}/.well-known/openid-configuration", 30)
        yield url
    finally:
        child.stop(5)


@pytest.fixture(autouse=True)
def _configured(provider: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FOREBAY_OIDC",
        f"""[{{"id": "mock", "name": "Mock SSO", "server_url": "{provider}",
             "client_id": "forebay", "client_secret": "secret"}}]""",
    )
    apps = {"OAUTH_PKCE_ENABLED": True, "APPS": environment.oidc()}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": apps}


def by_provider(client: Client, who: str, onward: str = "") -> Any:
    """The browser's way: our button, the provider's form, back to us."""
    query = f"?process=login&next={onward}" if onward else "?process=login"
    sent = client.post(f"/login/with/mock/{query}")
    assert sent.status_code == 302, sent.content
    answer = httpx.post(sent["Location"], data={"sub": who})
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["Location"])
    return client.get(f"{back.path}?{back.query}")


def accept(client: Client, tenant: Tenant) -> Any:
    link = Link.objects.usable().get(tenant=tenant)
    return client.post(f"/account/invitations/{link.pk}/acceptance/")


@pytest.mark.django_db
def test_the_page_offers_it_and_the_browser_may_go_there(client: Client) -> None:
    page = client.get("/login/?next=/console/t/acme/").content.decode()
    assert "Sign in with Mock SSO" in page
    sent = client.post("/login/with/mock/?process=login")
    asked = parse_qs(urlsplit(sent["Location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["state"][0]
    assert asked["redirect_uri"] == ["http://testserver/login/with/mock/callback/"]


@pytest.mark.django_db
def test_who_has_an_account_signs_in_by_a_verified_address(alice: Member, client: Client) -> None:
    answer = by_provider(client, "alice", "/console/t/acme/")
    assert answer["Location"] == "/console/t/acme/"
    assert client.get("/console/t/acme/").status_code == 200
    assert SocialAccount.objects.get().user == alice.user
    login = Event.objects.get(action=Action.SESSION_LOGIN)
    assert (login.actor, login.tenant_id) == (alice.actor, alice.tenant_id)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["unverified", "wordy", "silent", "nameless"])
def test_an_unverified_address_opens_nothing(alice: Member, client: Client, who: str) -> None:
    page = client.get(by_provider(client, who)["Location"]).content.decode()
    assert "There is no account or invitation for you here." in page
    assert client.get("/console/t/acme/").status_code == 302
    assert not SocialAccount.objects.exists()
    assert Event.objects.filter(action=Action.SESSION_DENIED).count() == 1


@pytest.mark.django_db
def test_a_stranger_gets_no_account(acme: Tenant, client: Client) -> None:
    assert by_provider(client, "grace")["Location"] == "/login/"
    assert not User.objects.exists()


@pytest.mark.django_db
def test_who_was_invited_joins_without_a_password(acme: Tenant, client: Client) -> None:
    Link.issue(
        Purpose.INVITATION, by="test", email="Grace@Acme.example", tenant=acme, role=Role.DEVELOPER
    )
    assert client.get(by_provider(client, "grace")["Location"])["Location"] == "/account/"
    assert not Member.objects.exists()
    assert accept(client, acme)["Location"] == "/"
    member = Member.objects.get()
    assert (member.user.email, member.role, member.tenant) == (GRACE, Role.DEVELOPER, acme)
    assert not member.user.has_usable_password()
    assert client.get("/console/t/acme/").status_code == 200
    assert not Link.objects.usable().exists()


@pytest.mark.django_db(transaction=True)
def test_two_callbacks_at_once_sign_in_the_same_invited_person(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=acme)
    both, waiting_for = Barrier(2, timeout=30), LinkQuerySet.waiting_for

    def together(links: LinkQuerySet, email: str) -> list[Link]:
        found = waiting_for(links, email)
        both.wait()
        return found

    monkeypatch.setattr(LinkQuerySet, "waiting_for", together)
    clients = Client(raise_request_exception=False), Client(raise_request_exception=False)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(_in_thread, clients))
    assert [answer.status_code for answer in answers] == [302, 302]
    assert SocialAccount.objects.get().user == User.objects.get(email=GRACE)
    assert [client.get("/account/").status_code for client in clients] == [200, 200]


def _in_thread(client: Client) -> Any:
    try:
        return by_provider(client, "grace")
    finally:
        connection.close()


@pytest.mark.django_db
def test_an_expired_invitation_invites_nobody(acme: Tenant, client: Client) -> None:
    Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=acme, days=-1)
    assert by_provider(client, "grace")["Location"] == "/login/"
    assert not User.objects.exists()


@pytest.mark.django_db
def test_an_account_without_a_password_is_not_taken_over_by_an_invitation(
    acme: Tenant, globex: Tenant, client: Client
) -> None:
    Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=acme, role=Role.OWNER)
    by_provider(client, "grace")
    accept(client, acme)
    url = Link.issue(Purpose.INVITATION, by="mallory", email=GRACE, tenant=globex)
    form = {"password": PASSWORD, "again": PASSWORD, "name": "Mallory"}
    answer = Client().post(urlsplit(url).path, form)
    assert "That is not this account" in answer.content.decode()
    assert not User.objects.get().has_usable_password()


@pytest.mark.django_db
def test_only_those_invitations_are_used_that_are_accepted(
    acme: Tenant, globex: Tenant, client: Client
) -> None:
    for by, tenant in (("test", acme), ("mallory", globex)):
        Link.issue(Purpose.INVITATION, by=by, email=GRACE, tenant=tenant, role=Role.MEMBER)
    by_provider(client, "grace")
    accept(client, acme)
    assert [member.tenant for member in Member.objects.all()] == [acme]
    page = client.get("/account/").content.decode()
    assert "globex" in page
    assert ">acme<" not in page


@pytest.mark.django_db
def test_who_has_no_password_joins_a_second_tenant(
    acme: Tenant, globex: Tenant, client: Client
) -> None:
    Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=acme, role=Role.MEMBER)
    by_provider(client, "grace")
    accept(client, acme)
    url = Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=globex, role=Role.MEMBER)
    assert client.get(urlsplit(url).path)["Location"] == "/account/"
    accept(client, globex)
    assert {member.tenant for member in Member.objects.all()} == {acme, globex}


@pytest.mark.django_db
def test_nobody_accepts_what_is_not_for_them(
    alice: Member, bob: Member, globex: Tenant, client: Client, sign_in: SignIn
) -> None:
    for email in (GRACE, bob.user.email):
        Link.issue(Purpose.INVITATION, by="test", email=email, tenant=globex, role=Role.OWNER)
    by_provider(client, "alice")
    bobs = sign_in(bob)  # no provider has said that the address is his
    for link in Link.objects.all():
        for one in (client, bobs):
            assert one.post(f"/account/invitations/{link.pk}/acceptance/").status_code == 404
    assert "globex" not in bobs.get("/account/").content.decode()
    assert not globex.members.exists()


@pytest.mark.django_db
def test_a_revoked_invitation_is_not_accepted(acme: Tenant, client: Client) -> None:
    Link.issue(Purpose.INVITATION, by="test", email=GRACE, tenant=acme, role=Role.MEMBER)
    by_provider(client, "grace")
    link = Link.objects.get()
    link.revoke(by="test")
    assert client.post(f"/account/invitations/{link.pk}/acceptance/").status_code == 404
    assert not Member.objects.exists()


@pytest.mark.django_db
def test_whoever_made_an_account_of_her_address_loses_it(
    acme: Tenant, globex: Tenant, client: Client
) -> None:
    url = Link.issue(Purpose.INVITATION, by="mallory", email=GRACE, tenant=globex, role=Role.MEMBER)
    mallorys = Client()
    form = {"password": PASSWORD, "again": PASSWORD, "name": "Grace"}
    assert mallorys.post(urlsplit(url).path, form).status_code == 302
    user = User.objects.get()
    with_app(user)
    Link.issue(Purpose.INVITATION, by="alice", email=GRACE, tenant=acme, role=Role.DEVELOPER)
    assert by_provider(client, "grace")["Location"] == "/"
    assert mallorys.get("/account/").status_code == 302
    user.refresh_from_db()
    assert not user.has_usable_password()
    assert not Authenticator.objects.exists()
    removed = Event.objects.get(action=Action.MFA_REMOVE, tenant_id=globex.id)
    assert removed.detail == {"factors": ["totp"], "how": "identity provider"}
    assert Event.objects.filter(action=Action.PASSWORD_CHANGE).count() == 1
    accept(client, acme)
    assert client.get("/console/t/acme/").status_code == 200


@pytest.mark.django_db
def test_an_operators_factors_stay(operator: User, client: Client) -> None:
    User.objects.filter(pk=operator.pk).update(email=GRACE)
    with_app(operator)
    assert by_provider(client, "grace")["Location"] == "/login/second-factor/"


@pytest.mark.django_db
def test_a_second_factor_is_asked_for_as_well(alice: Member, client: Client) -> None:
    by_provider(client, "alice")
    client.post("/logout/")
    with_app(alice.user)
    assert by_provider(client, "alice", "/console/t/acme/")["Location"] == "/login/second-factor/"
    assert client.get("/console/t/acme/").status_code == 302
    answer = client.post("/login/second-factor/", {"code": code()})
    assert answer["Location"] == "/console/t/acme/"


@pytest.mark.django_db
def test_the_first_time_replaces_a_password_that_somebody_else_may_have_set(
    alice: Member, client: Client
) -> None:
    intruder = Client()
    try_password(intruder, "alice@acme.example")
    by_provider(client, "alice")
    assert intruder.get("/console/t/acme/").status_code == 302
    assert try_password(Client(), "alice@acme.example").status_code == 200
    page = client.get("/account/").content.decode()
    assert "Set a password" in page
    new = {"password1": "another river, another dam", "password2": "another river, another dam"}
    assert client.post("/account/password/first/", new)["Location"] == "/account/"
    assert try_password(Client(), "alice@acme.example", new["password1"]).status_code == 302
    client.post("/logout/")
    by_provider(client, "alice")  # and it stays when she comes by the provider again
    assert try_password(Client(), "alice@acme.example", new["password1"]).status_code == 302


@pytest.mark.django_db
def test_only_the_domains_of_its_entry_are_believed(
    alice: Member, client: Client, settings: Any
) -> None:
    provider = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    provider["settings"]["domains"] = ["globex.example"]
    assert by_provider(client, "alice")["Location"] == "/login/"
    provider["settings"]["domains"] = ["acme.example"]
    assert by_provider(client, "alice")["Location"] == "/"


@pytest.mark.django_db
def test_a_closed_account_stays_closed(alice: Member, client: Client) -> None:
    User.objects.filter(pk=alice.user.pk).update(is_active=False)
    assert by_provider(client, "alice")["Location"] == "/login/"
    assert client.get("/console/t/acme/").status_code == 302


@pytest.mark.django_db
def test_an_answer_nobody_asked_for_is_refused(alice: Member, client: Client) -> None:
    other = Client()
    sent = other.post("/login/with/mock/?process=login")
    back = urlsplit(httpx.post(sent["Location"], data={"sub": "alice"}).headers["Location"])
    for query in (back.query, "code=1&state=2", "error=access_denied", ""):
        answer = client.get(f"{back.path}?{query}")
        assert answer["Location"] == "/login/", query
        assert client.get("/console/t/acme/").status_code == 302


@pytest.mark.django_db
def test_the_answer_works_once(alice: Member, client: Client) -> None:
    sent = client.post("/login/with/mock/?process=login")
    back = urlsplit(httpx.post(sent["Location"], data={"sub": "alice"}).headers["Location"])
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/"
    client.post("/logout/")
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/login/"


@pytest.mark.django_db
def test_onward_only_within_the_house(alice: Member, client: Client) -> None:
    assert by_provider(client, "alice", "https://evil.example/")["Location"] == "/"


@pytest.mark.django_db
def test_a_provider_that_is_away_is_said_not_failed(client: Client, settings: Any) -> None:
    provider = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    provider["settings"]["server_url"] = "http://127.0.0.1:9"
    answer = client.post("/login/with/mock/?process=login")
    assert answer["Location"] == "/login/"
    assert "did not work" in client.get("/login/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("process", ["connect", "redirect"])
def test_no_identity_is_added_to_whoever_is_signed_in(
    bob: Member, client: Client, process: str
) -> None:
    try_password(client, bob.user.email)
    sent = client.post(f"/login/with/mock/?process={process}")
    back = urlsplit(httpx.post(sent["Location"], data={"sub": "grace"}).headers["Location"])
    assert client.get(f"{back.path}?{back.query}")["Location"] == "/account/"
    assert not SocialAccount.objects.exists()


@pytest.mark.unit
@pytest.mark.parametrize("given", ["[{}]", "[1]", "/nowhere.json", "[", '{"id": 1}'])
def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("FOREBAY_OIDC", given)
    with pytest.raises(environment.EnvironmentProblem, match="FOREBAY_OIDC"):
        environment.oidc()
