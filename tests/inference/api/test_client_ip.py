"""Whose request is it? Counted from the right, through as many proxies as we trust."""

from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from audit.trail.network import network
from console import client_network
from tenants.rate_limits.client_address import client_ip, counted
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


@pytest.mark.parametrize(
    ("proxies", "forwarded", "found"),
    [
        (0, "", PEER),
        (0, "192.0.2.1", PEER),  # nobody is trusted: anybody can write that
        (1, "", PEER),
        (1, "192.0.2.1", "192.0.2.1"),
        (1, "1.1.1.1, 192.0.2.1", "192.0.2.1"),  # the left one is the client's own invention
        (1, "192.0.2.1,", "192.0.2.1"),
        (1, " , ,192.0.2.1 , ", "192.0.2.1"),
        (2, "192.0.2.1", PEER),
        (2, "192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (2, "1.1.1.1, 2.2.2.2, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (1, "2001:DB8:0::1", "2001:db8::1"),
        (1, "rubbish", PEER),
        (1, "192.0.2.1; DROP TABLE", PEER),
        (1, "192.0.2.999", PEER),
        (1, "unknown", PEER),
        (1, "192.0.2.1\t", "192.0.2.1"),
        (2, "rubbish, 10.0.0.1", PEER),
        (1, "::ffff:192.0.2.1", "192.0.2.1"),  # IPv4 that came through an IPv6 socket
        (1, "::FFFF:C000:0201", "192.0.2.1"),
        (1, "[2001:db8::1]", PEER),
        (1, "192.0.2.1:443", PEER),
        (1, "0xC0000201", PEER),
        (1, "192.0.2.01", PEER),
    ],
)
def test_the_address(settings: Settings, proxies: int, forwarded: str, found: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    lines = (forwarded,) if forwarded else ()
    assert client_ip(scope(*lines)) == found
    assert over_grpc(lines) == found
    assert on_pages(scope(*lines)) == found


# What a client may write in front of the one trusted proxy that appends what it saw, 192.0.2.1.
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
    settings.TRUSTED_PROXIES = 1
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
    settings.TRUSTED_PROXIES = 0  # nobody is in front of us: the header is the client's alone
    found = client_ip(sent)
    assert (found, counted(found), network(found)) == (PEER, PEER, "203.0.113.0")
    assert on_pages(sent) == PEER


def test_an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 0
    found = client_ip(scope(peer="::ffff:203.0.113.9"))
    assert on_pages(scope(peer="::ffff:203.0.113.9")) == found
    assert (found, counted(found), network(found)) == (PEER, PEER, "203.0.113.0")


def test_without_an_address_there_is_none(settings: Settings) -> None:
    for proxies in (0, 1):
        settings.TRUSTED_PROXIES = proxies
        assert client_ip(scope(peer=None)) == on_pages(scope(peer=None)) == ""


def test_a_header_in_several_lines_is_one(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 2
    assert client_ip(scope("1.1.1.1", "192.0.2.1", "10.0.0.1")) == "192.0.2.1"


@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=4), st.integers(0, 3))
def test_a_client_cannot_choose_its_address(
    settings: Settings, spoofed: list[str], proxies: int
) -> None:
    """Whatever it sends, each trusted proxy appends the address it saw."""
    settings.TRUSTED_PROXIES = proxies
    seen = ["192.0.2.1", "10.0.0.1", "10.0.0.2"][:proxies]
    found = client_ip(scope(", ".join([*spoofed, *seen])))
    assert found == ("192.0.2.1" if proxies else PEER)
