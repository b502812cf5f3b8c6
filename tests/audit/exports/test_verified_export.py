"""An export that the platform verifies when it has made it, as an auditor would elsewhere."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from audit.actions import Action
from audit.checks import verified_export
from audit.exports import export_file, trail_export
from audit.models import Event, Export
from audit.search.events import Filters
from tests.audit.sealed import ACME, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trail(
    db: None, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Trail]:
    settings.WITNESSES = []
    monkeypatch.setattr(export_file, "_folder", lambda: tmp_path / "exports")
    monkeypatch.setattr(export_file, "wake", lambda task: None)
    with superuser() as root:
        empty(root)
        yield Trail(root)


def verified(filters: Filters = Filters()) -> Export:  # noqa: B008  # frozen: no call can change it
    export = trail_export.ask(ACME, filters, trail_export.JSONL, by="member:a", verify=True)
    trail_export.work(verified_export.verified)
    export.refresh_from_db()
    assert export.state == "ready", export.problem
    return export


def test_what_is_as_it_was_sealed_is_said_to_be(trail: Trail) -> None:
    trail.grow(rounds=3)
    outcome = verified().asked["verified"]
    assert outcome["ok"], outcome
    assert outcome["events"] > 5
    assert outcome["checkpoints"] >= 3
    assert outcome["witnessed"] is None
    event = Event.objects.get(action=Action.AUDIT_VERIFY)
    assert (event.actor, event.tenant_id, event.success) == ("member:a", ACME, True)
    assert event.detail["events"] == outcome["events"]


def test_an_event_that_was_changed_is_found(trail: Trail) -> None:
    trail.grow(rounds=2)
    trail.root.execute(
        "update audit_event set model = 'other' where tenant_id = %s and id = "
        "(select max(id) from audit_event where tenant_id = %s)",
        [ACME, ACME],
    )
    trail.root.commit()
    outcome = verified().asked["verified"]
    assert not outcome["ok"]
    assert outcome["found"] == len(outcome["findings"]) > 0
    assert not Event.objects.get(action=Action.AUDIT_VERIFY).success


def test_checkpoints_are_compared_with_the_file_witness(
    trail: Trail, settings: Any, tmp_path: Path
) -> None:
    trail.grow(rounds=3)
    file = tmp_path / "heard.jsonl"
    file.write_bytes(b"".join(line.rstrip(b"\n") + b"\n" for line in trail.witnessed))
    settings.WITNESSES = [f"file://{file}"]
    outcome = verified().asked["verified"]
    assert outcome["ok"], outcome
    assert outcome["witnessed"] == outcome["checkpoints"]
    forged = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({**line, "root": "00" * 32}) + "\n" for line in forged))
    assert not verified().asked["verified"]["ok"]


def test_only_what_was_asked_for_is_verified(trail: Trail) -> None:
    trail.grow(rounds=1)
    export = trail_export.ask(ACME, Filters(), trail_export.JSONL, by="member:a")
    trail_export.work(verified_export.verified)
    export.refresh_from_db()
    assert (export.state, export.asked.get("verified")) == ("ready", None)
    assert not Event.objects.filter(action=Action.AUDIT_VERIFY).exists()


def test_a_table_has_no_proofs_to_verify(trail: Trail) -> None:
    with pytest.raises(ValidationError, match="Only JSONL has proofs"):
        trail_export.ask(ACME, Filters(), trail_export.CSV, by="member:a", verify=True)


def test_the_plain_export_is_not_on_disk(
    trail: Trail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail.grow(rounds=1)
    seen = list[bytes]()

    def looking(export: Export) -> dict[str, Any]:
        seen.extend(path.read_bytes() for path in (tmp_path / "exports").iterdir())
        return verified_export.verified(export)

    trail_export.ask(ACME, Filters(), trail_export.JSONL, by="member:a", verify=True)
    trail_export.work(looking)
    assert len(seen) == 1
    assert b"forebay-export" not in seen[0]
