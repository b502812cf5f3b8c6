"""Whose call it is: the peer, or whom named proxies name."""

from typing import Any, cast

import pytest
from pytest_django.fixtures import Settings

from inference.intake.submission import Options
from tenants.rate_limits.proxies import Proxies
from tests.inference.api.grpc.wire import rpc

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:203.0.113.7:5000", "203.0.113.7"),
        ("ipv6:[2001:db8::7]:5000", "2001:db8::7"),
        ("ipv6:%5B2001:db8::7%5D:5000", "2001:db8::7"),
        ("ipv6:[::ffff:203.0.113.7]:5000", "203.0.113.7"),
        ("unix:/run/forebay.sock", ""),
    ],
)
def test_the_peer(peer: str, address: str) -> None:
    forged = ("x-forwarded-for", "198.51.100.1")
    assert rpc(peer, forged).call.client_ip == address


def test_behind_a_proxy(settings: Settings) -> None:
    settings.GRPC_PROXIES = Proxies("127.0.0.1")
    several = [("x-forwarded-for", "10.0.0.1, 10.0.0.2"), ("x-forwarded-for", "198.51.100.1")]
    assert rpc("ipv4:127.0.0.1:9", *several).call.client_ip == "198.51.100.1"


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("authorization", "Bearer sk-fb-1", "sk-fb-1"),
        ("authorization", "bearer  sk-fb-1 ", "sk-fb-1"),
        ("authorization", "Basic YTpi", ""),
        ("x-api-key", "sk-fb-1", "sk-fb-1"),
        ("api-key", "sk-fb-1", "sk-fb-1"),
        ("other", "sk-fb-1", ""),
    ],
)
def test_the_key(name: str, value: str, key: str) -> None:
    assert rpc("ipv4:127.0.0.1:9", (name, value)).key == key


def test_what_is_told_of_a_header() -> None:
    """One that is there and empty is not taken for one that is not there."""
    call = rpc("ipv4:127.0.0.1:9", ("x-forebay-residency", ""), ("idempotency-key", "a"))
    assert call.header("x-forebay-residency") == ""
    assert call.header("Idempotency-Key") == "a"
    assert call.header("x-other") is None


def test_metadata_is_copied_once_for_a_call() -> None:
    call = rpc(
        "ipv4:127.0.0.1:9", ("authorization", "Bearer sk-fb-1"), ("x-forebay-class", "batch")
    )
    assert call.key == "sk-fb-1"
    assert Options.of(call.header).requested_class == "batch"
    assert cast("Any", call)._wire.readings == 1
