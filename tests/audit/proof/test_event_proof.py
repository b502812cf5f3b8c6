"""What the page of an event says of its seal, whatever somebody has made of the rows below it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from audit import merkle
from audit.models import Event, Seal
from audit.proof import chain, event_proof, seal
from audit.proof.event_proof import SealState
from audit.trail.canonical import LINE
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        made = Trail(root)
        made.grow(rounds=3)
        yield made


@pytest.fixture
def batch(trail: Trail) -> Seal:
    return next(one for one in Seal.objects.of_tenant(ACME).order_by("batch") if one.size > 1)


def standing(event_id: int) -> SealState:
    return event_proof.proof_state(Event.objects.get(id=event_id)).seal_state


def test_every_event_is_under_seal(trail: Trail) -> None:
    assert {standing(event.id) for event in Event.objects.all()} == {SealState.SEALED}
    new = trail.write(at=datetime.now(UTC))
    trail.root.commit()
    assert standing(new) is SealState.UNSEALED


def changed(trail: Trail, batch: Seal) -> None:
    first = "update audit_event set actor = 'key:nobody' where id = %s"
    trail.root.execute(first, [batch.event_ids[0]])


def leaves_of_now(trail: Trail, batch: Seal) -> None:
    changed(trail, batch)
    statement = f"select id, {LINE} from audit_event where id = any(%s)"
    lines = dict(trail.root.execute(statement, [batch.event_ids]).fetchall())
    leaves = [merkle.leaf(lines[event_id].encode()) for event_id in batch.event_ids]
    batch.leaves, batch.root = b"".join(leaves), merkle.root(leaves)
    trail.root.execute("update audit_seal set leaves = %s, root = %s where id = %s",
                       [batch.leaves, batch.root, batch.id])  # fmt: skip


def hash_of_now(trail: Trail, batch: Seal) -> None:
    leaves_of_now(trail, batch)
    trail.root.execute("update audit_seal set hash = %s where id = %s",
                       [chain.computed_hash(batch), batch.id])  # fmt: skip


def root_of_now(trail: Trail, batch: Seal) -> None:
    hash_of_now(trail, batch)
    trail.root.commit()
    root = merkle.root(seal.hashes_under(batch.checkpoint))
    trail.root.execute("update audit_checkpoint set root = %s where n = %s",
                       [root, batch.checkpoint])  # fmt: skip


def another_place(trail: Trail, batch: Seal) -> None:
    trail.root.execute("update audit_seal set position = 90 where id = %s", [batch.id])


def another_time(trail: Trail, batch: Seal) -> None:
    trail.root.execute("update audit_seal set last_at = '2040-01-01' where id = %s", [batch.id])


def no_seal(trail: Trail, batch: Seal) -> None:
    trail.root.execute("delete from audit_seal where id = %s", [batch.id])


def a_time_that_hides_it(trail: Trail, batch: Seal) -> None:
    trail.root.execute("update audit_seal set first_at = '2040-01-01' where id = %s", [batch.id])


def no_checkpoint(trail: Trail, batch: Seal) -> None:
    trail.root.execute("delete from audit_checkpoint where n = %s", [batch.checkpoint])


DAMAGES: dict[Callable[[Trail, Seal], None], SealState] = {
    changed: SealState.CHANGED,
    leaves_of_now: SealState.BROKEN,
    hash_of_now: SealState.BROKEN,
    root_of_now: SealState.BROKEN,
    another_place: SealState.BROKEN,
    another_time: SealState.BROKEN,
    no_seal: SealState.BROKEN,
    a_time_that_hides_it: SealState.BROKEN,
    no_checkpoint: SealState.BROKEN,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_is_not_called_sealed(
    trail: Trail, batch: Seal, damage: Callable[[Trail, Seal], None]
) -> None:
    damage(trail, batch)
    trail.root.commit()
    assert standing(batch.event_ids[0]) is DAMAGES[damage]
