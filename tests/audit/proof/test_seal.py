"""The sealer: what is over comes under seal, in order, once, whoever else tries."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connections

from audit import merkle
from audit.keys import signing
from audit.models import PLATFORM, Checkpoint, Seal, SealMark
from audit.proof import chain, seal, seal_mark
from audit.proof.chain import CHECKPOINT, ZERO, CheckpointFacts
from audit.trail.canonical import LINE
from tests.audit.sealed import ACME, GLOBEX, Trail, clock_of_the_sealer, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def test_a_round_seals_each_tenants_events_and_signs(trail: Trail) -> None:
    trail.grow(rounds=1, events=30)
    seals = list(Seal.objects.order_by("position"))
    assert {found.tenant_id for found in seals} == {ACME, GLOBEX, PLATFORM}
    assert sum(found.size for found in seals) == 30
    assert all((s.batch, s.first_seq, bytes(s.previous)) == (1, 1, ZERO) for s in seals)
    checkpoint = Checkpoint.objects.get()
    assert (checkpoint.n, checkpoint.size) == (1, 30)
    assert bytes(checkpoint.root) == merkle.root([bytes(found.hash) for found in seals])
    text = CheckpointFacts.of(checkpoint).text
    assert signing.verify(text, bytes(checkpoint.signature), CHECKPOINT)


def test_leaves_are_those_of_the_lines(trail: Trail) -> None:
    trail.grow(rounds=1)
    for found in Seal.objects.all():
        for place, event_id in enumerate(found.event_ids):
            statement = f"select {LINE} from audit_event where id = %s"
            (line,) = trail.root.execute(statement, [event_id]).fetchone() or ("",)
            leaf = bytes(found.leaves)[32 * place : 32 * place + 32]
            assert leaf == merkle.leaf(line.encode())


def test_rounds_hold_on_to_each_other(trail: Trail) -> None:
    trail.grow(rounds=4)
    for tenant in (ACME, GLOBEX, PLATFORM):
        seq, previous = 1, ZERO
        for n, found in enumerate(Seal.objects.of_tenant(tenant).order_by("batch"), 1):
            assert (found.batch, found.first_seq, bytes(found.previous)) == (n, seq, previous)
            seq, previous = seq + found.size, bytes(found.hash)
    first, second, *_ = Checkpoint.objects.all()
    assert bytes(second.previous) == CheckpointFacts.of(first).digest
    assert list(Seal.objects.order_by("id").values_list("id", flat=True))[0] == 1


def test_nothing_new_is_no_round(trail: Trail) -> None:
    trail.grow(rounds=1)
    assert seal.seal_due() == 0
    assert Checkpoint.objects.count() == 1


def test_a_transaction_that_is_open_holds_back_what_came_later(trail: Trail) -> None:
    trail.write()  # not over yet
    with superuser() as other:
        Trail(other, seed=2).write()
        other.commit()
        assert seal.seal_round() == 0
        assert seal_mark.unsealed_age() > 60
        trail.root.commit()
        assert seal.seal_round() == 2
    assert seal_mark.unsealed_age() == 0


def test_events_of_one_that_was_rolled_back_leave_no_gap(trail: Trail) -> None:
    trail.write()
    trail.root.rollback()
    trail.grow(rounds=2)
    assert trail.verify().ok


def test_a_long_line_is_sealed_in_bounded_batches(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "ROUND", 20)
    monkeypatch.setattr(seal, "BATCH", 4)
    for _ in range(50):
        trail.write()
    trail.root.commit()
    assert seal.seal_due() == 50
    assert Checkpoint.objects.count() == 3
    assert max(Seal.objects.values_list("size", flat=True)) <= 4
    assert trail.verify().ok


def test_of_many_sealers_one_seals(trail: Trail) -> None:
    for _ in range(40):
        trail.write()
    trail.root.commit()
    counts = list[int]()

    def work() -> None:
        for _ in range(5):
            counts.append(seal.seal_round())
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts)[-2:] == [0, 40]
    assert trail.verify().ok


def test_sealing_waits_for_nobody_and_nobody_waits_for_it(trail: Trail, dsn: str) -> None:
    trail.grow(rounds=1)
    with psycopg.connect(dsn) as busy:  # as a request does, and does not finish
        busy.execute("insert into audit_event (at, action, actor, route, model, upstream, success,"
                     " error_code, detail) values (now(), 'tenant:create', 'x', '', '', '', true,"
                     " '', '{}')")  # fmt: skip
        trail.root.execute("set lock_timeout = '1s'")
        assert seal.seal_round() == 0
        busy.rollback()


def test_a_database_that_counts_from_further_back_is_refused(trail: Trail) -> None:
    trail.grow(rounds=1)
    SealMark.objects.update(xid=2**40)
    with pytest.raises(seal_mark.SetBack, match="audit_resume"):
        seal.seal_round()


def test_a_clock_that_was_set_back_does_no_harm(trail: Trail) -> None:
    trail.grow(rounds=2)
    with clock_of_the_sealer(datetime.now(UTC) - timedelta(hours=3)):
        trail.grow(rounds=1)
    assert trail.verify().ok


def test_a_seal_holds_the_time_of_its_events(trail: Trail) -> None:
    trail.grow(rounds=1)
    found = Seal.objects.first()
    assert found
    assert chain.computed_hash(found) == bytes(found.hash)
    for name in ("first_at", "last_at", "sealed_at"):
        moment = getattr(found, name)
        setattr(found, name, moment + timedelta(microseconds=1))
        assert chain.computed_hash(found) != bytes(found.hash)
        setattr(found, name, moment)
