"""From where a key may be used."""

from ipaddress import ip_network

import pytest

from tests.tenants.callers import caller

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("198.51.100.7", False),
        ("2001:db8::7", False),
        ("", False),  # over a socket file: no address
        ("unix:", False),
    ],
)
def test_only_from_its_networks(address: str, may: bool) -> None:
    assert caller(networks=(ip_network("192.0.2.0/24"),)).may_come_from(address) is may
    assert caller().may_come_from(address)


@pytest.mark.parametrize(
    ("allowed", "withheld", "may"),
    [(set(), set(), True), ({"m"}, set(), True), ({"n"}, set(), False), ({"m"}, {"m"}, False),
     (set(), {"m"}, False), (set(), {"n"}, True)],
)  # fmt: skip
def test_a_model_is_allowed_and_not_withheld(
    allowed: set[str], withheld: set[str], may: bool
) -> None:
    who = caller(allowed_models=frozenset(allowed), withheld_models=frozenset(withheld))
    assert who.may_use("m") is may
