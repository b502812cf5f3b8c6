"""A superuser rewrites the trail, in every way that comes to mind: each time it shows.

The damage is done in a transaction of a superuser whom no trigger stops, and rolled back. What
the witness has heard counts as evidence, as it lies where the database's keeper cannot write.
FOREBAY_TAMPERINGS and FOREBAY_CLEAN_RUNS say how many (`make soak`: 5,000 and 1,000).
"""

import os
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from audit.verification.verify import Witness
from tests.audit.sealed import Trail, empty, superuser
from tests.audit.verification.intruder import KINDS, OLD, ROUNDS, Intruder

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(5400)]
TAMPERINGS = int(os.environ.get("FOREBAY_TAMPERINGS", "200"))
CLEAN_RUNS = int(os.environ.get("FOREBAY_CLEAN_RUNS", "40"))


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def test_every_tampering_shows(trail: Trail, capsys: pytest.CaptureFixture[str]) -> None:
    trail.grow_at(OLD, rounds=2, events=12)
    trail.grow(rounds=ROUNDS - 2, events=12)
    random = Random(500)
    missed, found, told = list[str](), Counter[str](), Counter[str]()
    for number in range(TAMPERINGS):
        kind = KINDS[number % len(KINDS)]
        what = kind(Intruder(trail.root, random))
        report = trail.verify(witnesses=[Witness("witness", trail.witnessed, delivered=ROUNDS)])
        trail.root.rollback()
        found[kind.__name__] += not report.ok
        told.update({finding.kind for finding in report.findings})
        if report.ok:
            missed.append(f"{kind.__name__}: {what}")
    with capsys.disabled():
        print(f"\n{sum(found.values())} of {TAMPERINGS} tamperings found: {dict(found)}")
        print(f"by what: {dict(told.most_common())}")
    assert not missed, "\n".join(missed)


def test_a_trail_that_nobody_touched_never_alarms(
    trail: Trail, capsys: pytest.CaptureFixture[str]
) -> None:
    alarms = 0
    for run in range(CLEAN_RUNS):
        trail.random = Random(run)
        trail.grow(rounds=1, events=trail.random.randrange(1, 20))
        report = trail.verify(witnesses=[Witness("witness", trail.witnessed, delivered=run + 1)])
        assert report.ok, report.findings
        alarms += not report.ok
    with capsys.disabled():
        print(f"\n{CLEAN_RUNS} clean runs, {alarms} false alarms")
