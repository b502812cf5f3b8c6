"""Every act in the console, the chat's pages and the management API is on record with its network,
as those under /v1 are.
"""

from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django.fixtures import Settings

from audit.models import Event
from audit.trail.request_origin import present_network
from console.client_network import ClientNetwork
from inference.chat import conversations
from tenants.models import ApiKey, Member, Tenant
from tenants.rate_limits.proxies import Proxies
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db
ADDRESS, NETWORK = "198.51.100.77", "198.51.100.0"
FROM: dict[str, Any] = {"REMOTE_ADDR": ADDRESS}


def networks() -> dict[str, str | None]:
    return {event.action: event.client_net for event in Event.objects.filter(actor__contains=":")}


def test_a_persons_acts_carry_their_network(
    acme: Tenant, alice: Member, bob: Member, sign_in: SignIn
) -> None:
    key = ApiKey.issue(acme, "ci", by="test")[0]
    talk = conversations.start(alice, "mock", "hello")
    client, inside = sign_in(alice), "/console/t/acme/"
    posts: dict[str, tuple[str, dict[str, str]]] = {
        "api_key:revoke": (f"{inside}keys/{key.pk}/revocation/", {}),
        "link:create": (f"{inside}members/{bob.pk}/reset-link/", {}),
        "member:role": (f"{inside}members/{bob.pk}/role/", {"role": "member"}),
        "team:create": (f"{inside}teams/", {"name": "research"}),
        "conversation:delete": (f"/chat/c/{talk.pk}/deletion/", {}),
        "subject:export": (f"/account/data/{alice.pk}/export/", {}),
    }
    for action, (path, form) in posts.items():
        answer = client.post(path, form, **FROM)
        assert answer.status_code < 400, (action, answer)
    api = "/api/v1/tenants/acme/keys/"
    body = {"name": "build", "scopes": ["inference"]}
    assert client.post(api, body, content_type="application/json", **FROM).status_code == 201
    found = networks()
    assert {action: found[action] for action in [*posts, "api_key:create"]} == dict.fromkeys(
        [*posts, "api_key:create"], NETWORK
    )


def test_a_programs_acts_too(acme: Tenant, client: Any) -> None:
    _key, text = ApiKey.issue(acme, "ci", by="test", scopes=["management:write"])
    answer = client.post(
        "/api/v1/tenants/acme/teams/",
        {"name": "research"},
        content_type="application/json",
        headers={"Authorization": f"Bearer {text}"},
        **FROM,
    )
    assert answer.status_code == 201
    assert networks()["team:create"] == NETWORK


async def test_so_it_is_where_pages_are_served_from_a_loop() -> None:
    """As in the running platform: views run in threads."""
    seen: list[str | None] = []

    async def page(request: HttpRequest) -> HttpResponse:
        await sync_to_async(lambda: seen.append(present_network()))()
        return HttpResponse()

    served: Any = ClientNetwork(page)
    assert iscoroutinefunction(served)
    await served(RequestFactory().get("/", REMOTE_ADDR=ADDRESS))
    assert (seen, present_network()) == ([NETWORK], None)


# TLS in front of us ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("proxies", "peer", "is_believed"),
    [
        ("", ADDRESS, False),  # nobody is named: anybody can write that
        ("10.0.0.0/24", ADDRESS, False),
        (ADDRESS, ADDRESS, True),
        (ADDRESS, f"::ffff:{ADDRESS}", True),
        (ADDRESS, "", False),  # a socket file
        ("unix", "", True),
    ],
)
def test_clear_text_is_tls_only_if_a_named_proxy_says_so(
    settings: Settings, client: Client, proxies: str, peer: str, is_believed: bool
) -> None:
    """The platform redirects a page of clear text, and sets HSTS for one of TLS."""
    settings.WEB_PROXIES = Proxies(proxies)
    settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60
    answer = client.get("/login/", headers={"X-Forwarded-Proto": "https"}, REMOTE_ADDR=peer)
    assert answer.status_code == (200 if is_believed else 301)
    assert answer.has_header("Strict-Transport-Security") == is_believed
    assert client.get("/login/", REMOTE_ADDR=peer).status_code == 301


@pytest.mark.parametrize("value", ["http", "http,https", "HTTPS", "on", ""])
def test_a_proxy_that_does_not_say_https_takes_nothing_for_tls(
    settings: Settings, client: Client, value: str
) -> None:
    settings.WEB_PROXIES, settings.SECURE_SSL_REDIRECT = Proxies(ADDRESS), True
    answer = client.get("/login/", headers={"X-Forwarded-Proto": value}, **FROM)
    assert answer.status_code == 301


def test_what_nobody_asked_for_has_none(acme: Tenant) -> None:
    """The platform's own acts, also after a request in the same thread."""
    Tenant.open("fresh", by="test")
    assert {event.client_net for event in Event.objects.all()} == {None}
