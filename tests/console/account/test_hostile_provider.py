"""Signing in by an identity provider that lies, stalls, or sends somewhere else."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from requests.exceptions import InvalidSchema

from config import environment
from console.account.identity_providers import oidc
from console.account.identity_providers.provider_http import ProviderSession
from infrastructure import networks
from tenants.models import Link, Member, Tenant, User
from tenants.models.link import Purpose
from tests.console.account.hostile_provider import HostileProvider, send

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def hostile(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileProvider]:
    provider = HostileProvider()
    provider.person()
    entry = {"id": "hostile", "name": "Hostile", "server_url": provider.url}
    entry |= {"client_id": "forebay", "client_secret": "s3cret"}
    monkeypatch.setenv("FOREBAY_OIDC", json.dumps([entry]))
    apps = {"OAUTH_PKCE_ENABLED": True, "APPS": environment.oidc()}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": apps}
    yield provider
    provider.stop()


def refused(provider: HostileProvider) -> bool:
    """Returns whether a sign-in leads back to the form and leaves nothing behind."""
    answer = provider.sign_in(Client(raise_request_exception=False))
    back = answer.status_code == 302 and answer["Location"] == "/login/"
    return back and not SocialAccount.objects.exists()


@pytest.mark.django_db
def test_an_honest_answer_signs_in_and_leaves_no_claims_behind(
    alice: Member, hostile: HostileProvider
) -> None:
    hostile.person(name="Alice", phone_number="+49 30 1")
    client = Client()
    client.post("/login/with/hostile/?process=login")
    before = client.session.session_key
    assert hostile.sign_in(client)["Location"] == "/"
    assert client.session.session_key != before
    account = SocialAccount.objects.get()
    kept = account.user, account.uid, account.extra_data
    assert kept == (alice.user, "alice", {"iss": hostile.url})


@pytest.mark.django_db
@pytest.mark.parametrize("of_earlier_version", [False, True])
def test_another_provider_behind_the_same_entry_does_not_inherit_its_people(
    alice: Member, bob: Member, hostile: HostileProvider, *, of_earlier_version: bool
) -> None:
    hostile.person(sub="1")
    assert hostile.sign_in(Client())["Location"] == "/"
    if of_earlier_version:
        claims = {"id_token": {"iss": hostile.url}, "userinfo": {}}
        SocialAccount.objects.update(extra_data=claims)
    hostile.discovery = hostile.token_claims = {"issuer": "http://new", "iss": "http://new"}
    hostile.person(sub="1", email=bob.user.email)
    for _ in range(2):
        client = Client()
        assert hostile.sign_in(client)["Location"] == "/"
        assert bob.user.email in client.get("/account/").content.decode()
    hostile.person(sub="2")
    assert hostile.sign_in(client := Client())["Location"] == "/"
    assert alice.user.email in client.get("/account/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/userinfo"])
def test_an_answer_that_is_no_object_is_refused(
    alice: Member, hostile: HostileProvider, path: str
) -> None:
    for body in (b"1", b'"x"', b"[1]", b"[" * 100_000, b"\xff", b"", b'{"sub": 1e999}'):
        hostile.pages = {path: partial(send, body=body)}
        assert refused(hostile), body[:10]


@pytest.mark.django_db
def test_claims_of_wrong_types_are_refused(alice: Member, hostile: HostileProvider) -> None:
    subs: list[Any] = [None, {}, [], "", "a\0", "s" * 500, 7]
    emails: list[Any] = [["alice@acme.example"], {"a": 1}, 5, "a\0@b.example"]
    wrong: list[dict[str, Any]] = [{"email_verified": [True]}, {"name": "n" * (1 << 20)}]
    wrong += [{"sub": sub} for sub in subs] + [{"email": email} for email in emails]
    for claims in wrong:
        hostile.person(**claims)
        assert refused(hostile), str(claims)[:60]
    hostile.person()
    tokens: list[dict[str, Any]] = [{"expires_in": 1e300}, {"access_token": "a\nb"}]
    tokens += [{"id_token": None}, {"id_token": 5}]
    for hostile.token in tokens:
        assert refused(hostile), hostile.token
    hostile.token = {}
    ends: list[dict[str, Any]] = [{"token_endpoint": ["a"]}, {"userinfo_endpoint": 5}]
    for hostile.discovery in [*ends, {"authorization_endpoint": "javascript:alert(1)"}]:
        assert refused(hostile), hostile.discovery


@pytest.mark.django_db
def test_a_token_for_somebody_or_something_else_is_refused(
    alice: Member, hostile: HostileProvider, caplog: pytest.LogCaptureFixture
) -> None:
    later = time.time() + 3600
    wrong: list[dict[str, Any]] = [{"sub": "bob"}, {"iss": "http://other"}, {"aud": "other"}]
    wrong += [{"azp": "other"}, {"exp": 1}, {"iat": later}, {"nbf": later}]
    wrong += [{"nonce": "of another sign-in"}, {"exp": "99999999999", "jti": "1"}]
    for hostile.token_claims in wrong:
        assert refused(hostile), hostile.token_claims
    assert "identity provider hostile failed: its answer is none: ValueError('azp')" in caplog.text
    hostile.token_claims = {}
    hostile.pages = {"/token": partial(send, body=b'{"refresh_token": "s3cret"}')}
    assert refused(hostile)
    assert "identity provider hostile failed: OAuth2Error" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("email", ["\u212aate@acme.example", "m\u0131ke@acme.example"])
def test_a_letter_that_turns_ascii_in_another_case_opens_nobodys_account(
    acme: Tenant, hostile: HostileProvider, email: str
) -> None:
    for name in ("kate", "mike"):
        User.objects.create_user(f"{name}@acme.example")
        Link.issue(Purpose.INVITATION, by="test", email=f"{name}@acme.example", tenant=acme)
    hostile.person(sub="mallory", email=email)
    assert refused(hostile)
    hostile.person(email="KATE@acme.example")
    assert hostile.sign_in(Client())["Location"] == "/"


@pytest.mark.django_db
def test_a_redirect_does_not_carry_the_clients_secret_along(
    alice: Member, hostile: HostileProvider
) -> None:
    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", f"{hostile.url}/internal")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    for path in (DISCOVERY, "/token", "/userinfo"):
        hostile.pages = {path: elsewhere}
        assert refused(hostile)
    assert "/internal" not in dict(hostile.requests)


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    while True:
        handler.wfile.write(b" " * 65536)


def _dripping(start: bytes, drop: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(start)
        for _ in range(100):
            handler.wfile.write(drop)
            handler.wfile.flush()
            time.sleep(0.1)

    return page


@pytest.mark.django_db
def test_an_answer_without_end_is_cut_off(
    alice: Member, hostile: HostileProvider, settings: Any
) -> None:
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 0.5
    head = b"HTTP/1.1 200 OK\r\n"
    pages = [_endless, _dripping(head + b"\r\n", b" "), _dripping(head, b"x: y\r\n")]
    began = time.monotonic()
    for page in pages:
        hostile.pages = {DISCOVERY: page}
        assert refused(hostile)
    assert time.monotonic() - began < 6


@pytest.mark.django_db
def test_those_who_wait_for_a_provider_leave_threads_to_others(
    alice: Member, hostile: HostileProvider
) -> None:
    with ExitStack() as waiting:
        for _ in range(4):
            waiting.enter_context(oidc.provider_turns)
        assert refused(hostile)
        assert not hostile.requests
    assert hostile.sign_in(Client())["Location"] == "/"


@pytest.mark.django_db
def test_a_link_to_the_button_chooses_no_parameter_of_the_provider(
    hostile: HostileProvider,
) -> None:
    asked = "auth_params=redirect_uri%3Dhttps%3A%2F%2Fevil.example%26state%3D1&scope=admin"
    answer = Client().post(f"/login/with/hostile/?process=login&{asked}")
    query = parse_qs(urlsplit(answer["Location"]).query)
    assert query["redirect_uri"] == ["http://testserver/login/with/hostile/callback/"]
    assert sorted(query["scope"][0].split()) == ["email", "openid", "profile"]
    assert query["state"] != ["1"]


@pytest.mark.django_db
def test_nothing_is_asked_of_an_address_that_no_engine_may_have(
    alice: Member, hostile: HostileProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "_NEVER", (ip_network("127.0.0.0/8"),))
    assert refused(hostile)
    assert not hostile.requests


@pytest.mark.unit
def test_an_endpoint_in_clear_text_is_only_one_that_its_entry_names(settings: Any) -> None:
    entry = {"settings": {"server_url": "https://login.example"}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [entry]}}
    for url in ("http://login.example/token", "http://10.0.0.1/"):
        with pytest.raises(InvalidSchema, match="https"):
            ProviderSession(1).get(url)
