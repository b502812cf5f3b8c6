"""Of an address the trail keeps its network alone."""

import pytest

from audit.trail.truncated_address import network


@pytest.mark.unit
@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("198.51.100.77", "198.51.100.0"),
        ("10.1.2.3", "10.1.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::1", "::"),
        ("", None),
    ],
)
def test_an_address_is_kept_without_its_host(address: str, kept: str | None) -> None:
    assert network(address) == kept


@pytest.mark.unit
def test_a_mapped_ipv4_address_is_one() -> None:
    assert network("::ffff:198.51.100.77") == "198.51.100.0"


@pytest.mark.unit
@pytest.mark.parametrize("odd", ["unix", "testclient", "198.51.100.7:443", "fe80::1%eth0"])
def test_what_is_no_address_is_not_kept(odd: str) -> None:
    assert network(odd) in (None, "fe80::")
