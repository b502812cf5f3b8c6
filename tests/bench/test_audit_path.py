"""What the benchmark of the trail compares with: the same statements, nothing of the trail."""

import pytest

from bench.parts.audit_path import Off


@pytest.mark.unit
@pytest.mark.parametrize("statement", [Off.received, Off.settled])
def test_nothing_of_the_trail_is_left(statement: str) -> None:
    assert "inference_" in statement
    assert "audit_" not in statement
