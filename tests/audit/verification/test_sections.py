"""Sections are a whole only where each begins as the one before has ended."""

from dataclasses import replace
from typing import Any

import pytest

from audit.proof.chain import ZERO, CheckpointFacts
from audit.verification.chain import BEGINNING
from audit.verification.report import SectionResult, VerificationReport
from audit.verification.sections import Joined
from tests.audit.sealed import ACME, GLOBEX

pytestmark = pytest.mark.unit


def _sections() -> list[SectionResult]:
    """Two that fit: of three checkpoints, four seals, and the chains of two tenants."""
    before, middle = CheckpointFacts(1, 9, ZERO, ZERO, 1), CheckpointFacts(2, 20, ZERO, ZERO, 2)
    acme, globex = (2, 9, b"a"), (1, 5, b"g")
    return [
        SectionResult(VerificationReport(), 0, None, before, 1, 2, {}, {ACME: acme}),
        SectionResult(
            VerificationReport(),
            0,
            before,
            middle,
            3,
            4,
            {ACME: acme, GLOBEX: BEGINNING},
            {GLOBEX: globex},
        ),
    ]


def test_sections_that_fit_are_whole() -> None:
    whole = Joined()
    assert all(map(whole.append, _sections()))


@pytest.mark.parametrize(
    "change",
    [
        {"anchor": None},
        {"anchor": CheckpointFacts(1, 8, ZERO, ZERO, 1)},
        {"first_seal": None},
        {"first_seal": 4},
        {"taken_on_trust": {ACME: (2, 9, b"b")}},
        {"taken_on_trust": {ACME: (2, 8, b"a")}},
        {"taken_on_trust": {ACME: BEGINNING}},
        {"taken_on_trust": {GLOBEX: (1, 5, b"g")}},
        {"report": VerificationReport(found=1)},
    ],
)
def test_sections_that_do_not_fit_are_not(change: dict[str, Any]) -> None:
    first, second = _sections()
    whole = Joined()
    assert whole.append(first)
    assert not whole.append(replace(second, **change))
