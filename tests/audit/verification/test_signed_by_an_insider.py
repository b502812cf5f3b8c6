"""Whoever can sign what they like still cannot make a checkpoint contradict its seals unseen."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from audit import merkle
from audit.keys import signing
from audit.proof.chain import CHECKPOINT, CheckpointFacts, seal_hash
from audit.trail.canonical import microseconds
from tests.audit.sealed import Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)
SEAL = (
    "select id, tenant_id, batch, first_seq, size, first_at, last_at, root, previous, sealed_at,"
    " retention_days from audit_seal where checkpoint = %s order by position limit 1"
)


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        trail = Trail(root)
        trail.grow(rounds=4, events=12)
        yield trail


def newest(trail: Trail) -> dict[str, Any]:
    found = trail.root.execute(
        "select n, size, root, previous, at from audit_checkpoint order by n desc limit 1"
    ).fetchone()
    assert found
    return dict(zip(("n", "size", "root", "previous", "at"), found, strict=True))


def sign_newest(trail: Trail, **changes: Any) -> None:
    facts = newest(trail) | changes
    signed = CheckpointFacts(
        facts["n"], facts["size"], facts["root"], facts["previous"], microseconds(facts["at"])
    )
    trail.root.execute(
        "update audit_checkpoint set size = %s, root = %s, previous = %s, at = %s, signature = %s"
        " where n = %s",
        [*(facts[name] for name in ("size", "root", "previous", "at")),
         signing.sign(signed.text, CHECKPOINT), facts["n"]],
    )  # fmt: skip


def change_a_seal(trail: Trail, **changes: Any) -> None:
    """One of the newest checkpoint's, with its hash, the root and the signature made anew."""
    n = newest(trail)["n"]
    cursor = trail.root.execute(SEAL, [n])
    assert cursor.description
    names = [column.name for column in cursor.description]
    row = cursor.fetchone()
    assert row
    seal = dict(zip(names, row, strict=True))
    for name, change in changes.items():
        seal[name] = change(seal[name])
    number = seal.pop("id")
    facts: dict[str, Any] = {
        k: microseconds(v) if k.endswith("_at") else v for k, v in seal.items()
    }
    columns = ", ".join(f"{name} = %s" for name in changes)
    trail.root.execute(
        f"update audit_seal set {columns}, hash = %s where id = %s",  # noqa: S608  # our names
        [*(seal[name] for name in changes), seal_hash(*facts.values()), number],
    )
    hashes = trail.root.execute(
        "select hash from audit_seal where checkpoint = %s order by position", [n]
    ).fetchall()
    sign_newest(trail, root=merkle.root([bytes(hash_) for (hash_,) in hashes]))


def told(trail: Trail) -> list[str]:
    return [finding.text for finding in trail.verify().findings]


def test_signed_once_more_as_it_was_it_is_fine(trail: Trail) -> None:
    sign_newest(trail)
    change_a_seal(trail, size=lambda size: size)
    assert told(trail) == []


def test_a_signature_of_another_checkpoint_shows(trail: Trail) -> None:
    """Also where no witness has heard of the right one."""
    n = newest(trail)["n"]
    trail.root.execute(
        "update audit_checkpoint set signature = before.signature from audit_checkpoint before"
        " where audit_checkpoint.n = %s and before.n = %s",
        [n, n - 1],
    )
    assert told(trail) == [f"the signature of checkpoint {n} is wrong"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": lambda size: size + 1}, "counts other events than its seals"),
        ({"at": lambda at: at + timedelta(seconds=1)}, "is of another time than its checkpoint"),
        ({"root": lambda _: bytes(32)}, "is the root of other seals"),
        ({"previous": lambda _: bytes(32)}, "does not hold on to the one before"),
    ],
    ids=["size", "time", "root", "previous"],
)
def test_a_checkpoint_that_says_something_else_than_its_seals_shows(
    trail: Trail, change: dict[str, Any], words: str
) -> None:
    facts = newest(trail)
    sign_newest(trail, **{name: other(facts[name]) for name, other in change.items()})
    findings = told(trail)
    assert findings
    assert all(words in text for text in findings), findings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first_seq": lambda first: first + 1}, "the numbers have a gap"),
        ({"batch": lambda batch: batch + 1}, "the numbers have a gap"),
        ({"previous": lambda _: bytes(32)}, "does not hold on to the one before"),
        ({"sealed_at": lambda at: at - timedelta(days=1)}, "is of another time"),
        ({"root": lambda _: bytes(32)}, "is the root of other events"),
    ],
    ids=["number", "batch", "previous", "time", "root"],
)
def test_a_seal_that_says_something_else_than_its_events_shows(
    trail: Trail, change: dict[str, Any], words: str
) -> None:
    change_a_seal(trail, **change)
    findings = told(trail)
    assert findings
    assert any(words in text for text in findings), findings
