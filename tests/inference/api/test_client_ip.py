"""Whose request is it? Read from the right, for as long as named proxies wrote it."""

from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from audit.trail.truncated_address import network
from console import client_network
from tenants.rate_limits.client_address import client_ip, counted
from tenants.rate_limits.proxies import Proxies
from tests.inference.api.grpc.wire import rpc

pytestmark = pytest.mark.unit
PEER = "203.0.113.9"


def scope(*forwarded: str, peer: str | None = PEER) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded],
        "client": (peer, 1234) if peer is not None else None,
    }


def over_grpc(lines: tuple[str, ...]) -> str:
    metadata = [("x-forwarded-for", line) for line in lines]
    return rpc(f"ipv4:{PEER}:1234", *metadata).call.client_ip


def on_pages(scope: dict[str, Any]) -> str:
    """What the console and the management API make of the same request."""
    return client_network.client_ip(ASGIRequest(scope, BytesIO()))


NEAR, FAR = "203.0.113.9", "203.0.113.9,10.0.0.0/24"  # the peer; and the proxy before it


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ("", "", PEER),
        ("", "192.0.2.1", PEER),  # nobody is named: anybody can write that
        ("10.0.0.0/24", "192.0.2.1", PEER),  # the peer is none of those that are named
        ("203.0.113.0/29", "192.0.2.1", PEER),
        (NEAR, "", PEER),
        (NEAR, "192.0.2.1", "192.0.2.1"),
        (NEAR, "1.1.1.1, 192.0.2.1", "192.0.2.1"),  # the left one is the client's own invention
        (NEAR, "192.0.2.1,", "192.0.2.1"),
        (NEAR, " , ,192.0.2.1 , ", "192.0.2.1"),
        (NEAR, "192.0.2.1, 10.0.0.1", "10.0.0.1"),
        (FAR, "192.0.2.1", "192.0.2.1"),  # it came past the outer proxy
        (FAR, "192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (FAR, "1.1.1.1, 2.2.2.2, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (FAR, "rubbish, 10.0.0.1", "10.0.0.1"),
        (FAR, "10.0.0.7, 10.0.0.1", "10.0.0.7"),  # a proxy's own request
        (FAR, "192.0.2.1" + ", 10.0.0.1" * 40, "10.0.0.1"),  # no chain is that long
        ("203.0.113.0/24", "2001:DB8:0::1", "2001:db8::1"),
        ("2001:db8::/64", "192.0.2.1", PEER),
        (NEAR, "rubbish", PEER),
        (NEAR, "192.0.2.1; DROP TABLE", PEER),
        (NEAR, "192.0.2.999", PEER),
        (NEAR, "unknown", PEER),
        (NEAR, "192.0.2.1\t", "192.0.2.1"),
        (NEAR, "::ffff:192.0.2.1", "192.0.2.1"),  # IPv4 that came through an IPv6 socket
        (NEAR, "::FFFF:C000:0201", "192.0.2.1"),
        (NEAR, "[2001:db8::1]", PEER),
        (NEAR, "192.0.2.1:443", PEER),
        (NEAR, "0xC0000201", PEER),
        (NEAR, "192.0.2.01", PEER),
        (NEAR, "fe80::1%" + "x" * 100, PEER),
    ],
)
def test_the_address(settings: Settings, proxies: str, forwarded: str, address: str) -> None:
    settings.WEB_PROXIES = settings.GRPC_PROXIES = Proxies(proxies)
    lines = (forwarded,) if forwarded else ()
    assert client_ip(scope(*lines)) == address
    assert over_grpc(lines) == address
    assert on_pages(scope(*lines)) == address


def test_a_proxy_of_one_front_end_is_none_of_the_other(settings: Settings) -> None:
    settings.WEB_PROXIES, settings.GRPC_PROXIES = Proxies(NEAR), Proxies()
    assert client_ip(scope("192.0.2.1")) == "192.0.2.1"
    assert over_grpc(("192.0.2.1",)) == PEER
    settings.WEB_PROXIES, settings.GRPC_PROXIES = Proxies(), Proxies(NEAR)
    assert client_ip(scope("192.0.2.1")) == on_pages(scope("192.0.2.1")) == PEER
    assert over_grpc(("192.0.2.1",)) == "192.0.2.1"


def test_a_proxy_may_come_over_ipv6_or_a_socket_file(settings: Settings) -> None:
    settings.WEB_PROXIES = Proxies(NEAR)
    mapped = scope("192.0.2.1", peer=f"::ffff:{PEER}")
    assert client_ip(mapped) == on_pages(mapped) == "192.0.2.1"
    file = scope("192.0.2.1", peer=None)
    assert client_ip(file) == on_pages(file) == ""
    settings.WEB_PROXIES = Proxies("unix")
    assert client_ip(file) == on_pages(file) == "192.0.2.1"
    assert client_ip(scope("192.0.2.1")) == PEER


@pytest.mark.parametrize(
    "text", ["1", "proxy.example", "0.0.0.0/0", "::/0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.*"]
)
def test_what_names_no_proxy_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Proxies(text)


# What a client may write in front of the one named proxy that appends what it saw, 192.0.2.1.
SPOOFED = [
    "",
    "203.0.113.77",
    "203.0.113.77, 203.0.113.78",
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5",
    "localhost",
    "unknown",
    "_hidden",
    "for=203.0.113.77;proto=https",
    "203.0.113.77:8080",
    "[2001:db8::1]:443",
    "192.0.2.1",
    ",",
    ",,,,",
    " , 203.0.113.77 , ",
    "\t203.0.113.77\t",
    "0.0.0.0",
    "999.999.999.999",
    "203.0.113.77\u00a0",
    "' or 1=1 --",
    "203.0.113.77, " * 200,
    "2001:db8::1%eth0",
    "\u00ff\u00fe",
]


@pytest.mark.parametrize("written", SPOOFED)
@pytest.mark.parametrize("lines", ["joined", "apart", "with others"])
def test_whatever_is_written_changes_neither_limit_nor_audit(
    settings: Settings, written: str, lines: str
) -> None:
    settings.WEB_PROXIES = Proxies(PEER)
    seen = "192.0.2.1"
    sent = scope(f"{written}, {seen}") if lines == "joined" else scope(written, seen)
    if lines == "with others":
        sent["headers"] += [
            (name, b"203.0.113.77")
            for name in (
                b"x-real-ip",
                b"forwarded",
                b"client-ip",
                b"x-client-ip",
                b"true-client-ip",
            )
        ]
    found = client_ip(sent)
    assert (found, counted(found), network(found)) == (seen, seen, "192.0.2.0")
    assert on_pages(sent) == seen
    settings.WEB_PROXIES = Proxies()  # nobody is in front of us: the header is the client's alone
    found = client_ip(sent)
    assert (found, counted(found), network(found)) == (PEER, PEER, "203.0.113.0")
    assert on_pages(sent) == PEER


def test_an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() -> None:
    found = client_ip(scope(peer="::ffff:203.0.113.9"))
    assert on_pages(scope(peer="::ffff:203.0.113.9")) == found
    assert (found, counted(found), network(found)) == (PEER, PEER, "203.0.113.0")


def test_without_an_address_there_is_none(settings: Settings) -> None:
    for proxies in ("", "unix", PEER):
        settings.WEB_PROXIES = Proxies(proxies)
        assert client_ip(scope(peer=None)) == on_pages(scope(peer=None)) == ""


def test_a_header_in_several_lines_is_one(settings: Settings) -> None:
    settings.WEB_PROXIES = Proxies(FAR)
    assert client_ip(scope("1.1.1.1", "192.0.2.1", "10.0.0.1")) == "192.0.2.1"


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=4), st.integers(0, 3))
def test_a_client_cannot_choose_its_address(
    settings: Settings, spoofed: list[str], proxies: int
) -> None:
    """Whatever it sends, each named proxy appends the address it saw."""
    settings.WEB_PROXIES = Proxies(",".join([PEER, "10.0.0.1", "10.0.0.2"][:proxies]))
    seen = ["192.0.2.1", "10.0.0.1", "10.0.0.2"][:proxies]
    found = client_ip(scope(", ".join([*spoofed, *seen])))
    assert found == ("192.0.2.1" if proxies else PEER)
