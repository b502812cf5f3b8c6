"""Whose request is it? Counted from the right, through as many proxies as we trust."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from inference.openai.http import Request, client_ip

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
    ],
)
def test_the_address(settings: Settings, proxies: int, forwarded: str, found: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    lines = (forwarded,) if forwarded else ()
    assert client_ip(scope(*lines)) == found
    assert Request(scope(*lines), lambda: None, lambda message: None).client_ip == found


def test_without_an_address_there_is_none(settings: Settings) -> None:
    for proxies in (0, 1):
        settings.TRUSTED_PROXIES = proxies
        assert client_ip(scope(peer=None)) == ""


def test_a_header_in_several_lines_is_one(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 2
    assert client_ip(scope("1.1.1.1", "192.0.2.1", "10.0.0.1")) == "192.0.2.1"


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=4), st.integers(0, 3))
def test_a_client_cannot_choose_its_address(
    settings: Settings, spoofed: list[str], proxies: int
) -> None:
    """Whatever it sends, each trusted proxy appends the address it saw."""
    settings.TRUSTED_PROXIES = proxies
    seen = ["192.0.2.1", "10.0.0.1", "10.0.0.2"][:proxies]
    found = client_ip(scope(", ".join([*spoofed, *seen])))
    assert found == ("192.0.2.1" if proxies else PEER)
