"""Several processes find what one finds, and one that dies is no good news."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from threading import Timer
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command

from audit.checks import full_verification
from audit.keys import signing
from audit.verification import parallel, section_process
from audit.verification.chain import Terms
from audit.verification.pruned import pruned
from audit.verification.report import VerificationReport
from audit.verification.rows import Cut, VerificationRange, conditions
from audit.verification.section_process import Helper
from audit.verification.sections import Joined, Section, Task, try_section, verify_section
from audit.verification.verify import open_trail, verify
from audit.witnesses import delivery
from tests.audit.sealed import Trail, empty, superuser
from tests.audit.verification.intruder import KINDS, OLD, Intruder

pytestmark = pytest.mark.django_db(transaction=True)
TAMPERINGS = int(os.environ.get("FOREBAY_TAMPERINGS", "52"))


@pytest.fixture
def trail(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    monkeypatch.setattr(parallel, "EVENTS", 20)
    with superuser() as root:
        empty(root)
        yield Trail(root)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What helpers have answered."""
    seen: list[Any] = []
    found_in = Helper.verify

    def noted(self: Helper, section: Section) -> Any:
        seen.append(found_in(self, section))
        return seen[-1]

    monkeypatch.setattr(Helper, "verify", noted)
    return seen


def verified(processes: int) -> VerificationReport:
    with open_trail() as connection:
        report = verify(connection, processes=processes)
    report.took_s = 0
    return report


def test_they_say_the_same_of_a_trail_as_it_was_written(trail: Trail, answers: list[Any]) -> None:
    trail.grow_at(OLD, rounds=3)
    trail.grow(rounds=6)
    trail.write()  # waits for its seal
    trail.root.commit()
    alone = verified(1)
    assert not answers
    assert verified(3) == alone
    assert alone.figures["sealed"] == 135
    assert [finding.kind for finding in alone.findings] == ["event_waits"]
    assert answers
    # Whoever has the last section says so.
    told = [finding for found in answers for finding in found.report.findings]
    assert told in ([], alone.findings)


def test_they_say_the_same_of_a_trail_that_was_changed(trail: Trail, answers: list[Any]) -> None:
    trail.grow(rounds=6)
    trail.root.execute("update audit_event set model = 'x' where id % 7 = 0")
    trail.root.execute("delete from audit_event where id = (select max(id) from audit_event)")
    trail.root.commit()
    assert verified(2) == verified(1)
    assert verified(2).found > 10
    assert answers


def test_helpers_see_what_the_first_one_sees(trail: Trail, answers: list[Any]) -> None:
    trail.grow(rounds=6)
    with open_trail() as connection:
        connection.execute("select 1")
        trail.root.execute("update audit_event set model = 'x'")
        trail.grow(rounds=2)
        report = verify(connection, processes=2, texts=False)
    assert report.ok, report.findings
    assert report.figures["sealed"] == 90
    assert answers
    assert all(found.report.ok for found in answers)


def test_wherever_it_is_cut_the_findings_are_the_same(trail: Trail) -> None:
    trail.grow(rounds=6)
    trail.root.execute("update audit_checkpoint set size = 9223372036854775807 - n * 7")
    trail.root.commit()
    assert verified(2) == verified(1)
    assert not verified(2).ok


def test_whatever_is_wrong_no_section_hides_it(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_MAY_BE_CUT", "select true")  # of what is not committed
    trail.grow_at(OLD, rounds=2, events=12)
    trail.grow(rounds=4, events=12)
    whole, alone = _cut_and_in_one(trail.root)
    assert whole
    assert whole.figures == alone.figures
    hidden, found = list[str](), 0
    for number in range(TAMPERINGS):
        what = KINDS[number % len(KINDS)](Intruder(trail.root, Random(number)))
        whole, alone = _cut_and_in_one(trail.root)
        trail.root.rollback()
        found += not alone.ok
        if whole and not (alone.ok and whole.figures == alone.figures):
            hidden.append(what)
    assert not hidden
    assert found > TAMPERINGS / 3  # of the others, texts and witnesses tell


def _cut_and_in_one(root: psycopg.Connection[Any]) -> tuple[Joined | None, VerificationReport]:
    alone = VerificationReport()
    gone = pruned(root, VerificationReport())
    asked = Terms(VerificationRange(), list(signing.trusted().values()), gone)
    sections = parallel.sections(root, gone)
    verify_section(Section(), asked, root, alone)
    whole = Joined()
    for section in sections:
        found = try_section(section, asked, root)
        if found is None or not whole.append(found):
            return None, alone
    return whole if sections else None, alone


def test_what_others_cannot_see_is_verified_alone(trail: Trail, answers: list[Any]) -> None:
    trail.grow(rounds=4)
    trail.root.execute("update audit_event set model = 'x' where id % 7 = 0")
    assert not trail.verify(processes=2).ok
    assert not answers


def test_a_helper_that_dies_is_no_good_news(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WITNESSES = []
    trail.grow(rounds=6)
    delivery.feed_all()
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    monkeypatch.setattr(parallel, "Helper", Dying)
    made = full_verification.run()
    assert (made.ok, made.figures["kinds"]) == (False, {full_verification.CANNOT_RUN: 1})
    assert made.problem == "cannot verify: a process of the verification ended with -9"
    with pytest.raises(CommandError, match="ended with -9") as refused:
        call_command("audit_verify", "--processes", "2")
    assert refused.value.returncode == 2


class Dying(Helper):
    """It is killed when it has been asked, and before it has answered."""

    def verify(self, section: Section) -> Any:
        self._process.send_signal(signal.SIGSTOP)
        Timer(0.2, self._process.kill).start()
        return super().verify(section)


def test_a_helper_that_cannot_connect_is_done_without(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, answers: list[Any]
) -> None:
    trail.grow(rounds=6)

    def nowhere(*given: Any) -> Task:
        return replace(section_process.task(*given), dsn="host=127.0.0.1 port=1")

    monkeypatch.setattr(parallel, "task", nowhere)
    report = verified(2)
    assert report.ok, report.findings
    assert report.figures["sealed"] == 90
    assert None in answers


_PARENT = """
import sys, time
from audit.verification.section_process import Helper
from audit.verification.sections import Task
helper = Helper(Task(f"host=127.0.0.1 port={sys.argv[1]}", "", None))
print("asked", flush=True)
helper.verify((0, 0))
"""


def test_a_helper_ends_with_who_has_asked_it() -> None:
    """Also while it waits for a database that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        parent = subprocess.Popen([sys.executable, "-c", _PARENT, port], stdout=subprocess.PIPE)
        silent.settimeout(30)
        connected, _ = silent.accept()
        with connected:
            parent.kill()
            said, _ = parent.communicate(timeout=30)  # until nobody has its output any more
    assert said == b"asked\n"


def test_every_event_is_between_two_cuts(look: psycopg.Connection) -> None:
    random = Random(7)
    restarts = [40, 80]
    rows = [(sum(r < n for r in restarts), random.randrange(9), n) for n in range(1, 120)]
    cuts_ = [None, *(Cut(*row) for row in sorted(random.sample(rows, 6))), None]
    found = []
    for after, upto in zip(cuts_, cuts_[1:], strict=False):
        for condition in conditions(restarts, after, upto):
            statement = f"""select id from unnest(%s::int[], %s::int[]) event(xid, id)
                            where {condition} order by xid, id"""
            xids, ids = [xid for _, xid, _ in rows], [n for _, _, n in rows]
            found += [n for (n,) in look.execute(statement.encode(), [xids, ids])]
    assert found == [n for _, _, n in sorted(rows)]
