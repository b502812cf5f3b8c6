"""What a verification says of a trail that is as it was, and of one that has every right to lack
something."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from psycopg.types.json import Jsonb

from audit.actions import Action
from audit.erasure import tombstones
from audit.keys import signing
from audit.models import PLATFORM, Seal
from audit.proof import chain, seal
from audit.verification import events
from audit.verification.verify import VerificationRange, Witness
from tenants.models import Tenant
from tests.audit.sealed import ACME, GLOBEX, Trail, empty, superuser

pytestmark = pytest.mark.django_db(transaction=True)
TENANTS_OR_NONE = (ACME, GLOBEX, PLATFORM)
_MANY = """
    insert into audit_event (at, action, tenant_id, request_id, actor, route, model, upstream,
                             success, error_code, detail)
    select now() - interval '1 hour', 'completion:received', md5((n % 40)::text)::uuid,
           gen_random_uuid(), 'key:x', '', '', '', true, '', '{}'
    from generate_series(1, 10000) n"""


@pytest.fixture
def trail(db: None) -> Iterator[Trail]:
    with superuser() as root:
        empty(root)
        yield Trail(root)


def kinds(trail: Trail, **options: Any) -> set[str]:
    return {finding.kind for finding in trail.verify(**options).findings}


def test_a_trail_as_it_was_written_is_fine(trail: Trail) -> None:
    trail.grow(rounds=5)
    report = trail.verify(witnesses=[Witness("file", trail.witnessed, delivered=5)])
    assert report.ok, report.findings
    assert report.figures["sealed"] == 75
    assert report.figures["checkpoints"] == report.figures["witnessed"] == 5


@pytest.mark.parametrize("gone", ["audit_seal", "audit_event"])
def test_memory_does_not_grow_with_what_is_wrong(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setattr(events, "AHEAD", 2_000)
    for _ in range(4):
        trail.root.execute(_MANY)
        trail.root.commit()
        assert seal.seal_due() == 10_000
    trail.root.execute(f"truncate {gone}")
    tracemalloc.start()
    report = trail.verify(texts=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.found >= 40_000
    assert peak < 8_000_000  # where each was kept, it was 13 and 17 million


def test_an_empty_trail_is_fine(trail: Trail) -> None:
    assert trail.verify().ok


def test_one_tenant_alone(trail: Trail) -> None:
    trail.grow(rounds=5)
    report = trail.verify(span=VerificationRange(ACME))
    assert report.ok, report.findings
    assert 0 < report.figures["sealed"] < 75
    trail.root.execute("update audit_event set model = 'x' where id = (select min(id) from"
                       " audit_event where tenant_id = %s)", [GLOBEX])  # fmt: skip
    assert trail.verify(span=VerificationRange(ACME)).ok
    assert kinds(trail, span=VerificationRange(GLOBEX)) == {"event_changed"}


@pytest.mark.parametrize(("since", "until"), [(0.3, 0.6), (0.0, 0.5), (0.5, 1.0), (0.98, 0.99)])
def test_a_time_alone(trail: Trail, since: float, until: float) -> None:
    trail.grow(rounds=8)
    reach = trail.root.execute("select min(at), max(at) from audit_event").fetchone()
    assert reach
    first, last = reach
    span = VerificationRange(None, first + since * (last - first), first + until * (last - first))
    report = trail.verify(span=span)
    assert report.ok, report.findings
    inside = "select id from audit_event where at >= %s and at < %s order by random() limit 1"
    for (event_id,) in trail.root.execute(inside, [span.since, span.until]).fetchall():
        trail.root.execute("delete from audit_event where id = %s", [event_id])
        assert "event_missing" in kinds(trail, span=span)


def test_an_event_that_waits_for_its_seal(trail: Trail) -> None:
    trail.grow(rounds=1)
    trail.write(at=datetime.now(UTC))
    trail.root.commit()
    report = trail.verify()
    assert report.ok
    assert report.figures["waiting"] == 1
    trail.write(at=datetime.now(UTC) - timedelta(minutes=2))
    trail.root.commit()
    assert kinds(trail) == {"event_waits"}


def test_a_text_that_is_gone_with_its_key(trail: Trail) -> None:
    subject = trail._uuid()
    trail.write(tenant_id=ACME, subject_id=subject, action=Action.COMPLETION_RECEIVED)
    trail.grow(rounds=1)
    trail.root.execute("delete from audit_datakey where subject_id = %s", [subject])
    assert kinds(trail) == {"text_key"}
    trail.root.execute("delete from audit_payload p using audit_event e where"
                       " e.request_id = p.request_id and e.subject_id = %s", [subject])  # fmt: skip
    assert kinds(trail) == {"text_missing"}
    trail.write(tenant_id=ACME, subject_id=subject, action=Action.KEY_ERASE, at=datetime.now(UTC))
    trail.seal()
    assert kinds(trail) == {"text_missing", "erased_without_tombstone"}
    _lay_tombstone(trail, subject)
    report = trail.verify()
    assert report.ok, report.findings
    assert report.figures["texts_erased"] == 1


def _lay_tombstone(trail: Trail, subject: UUID) -> None:
    at, request = datetime.now(UTC), trail._uuid()
    body = tombstones.TombstoneLine(ACME, subject, request, False, at).body
    trail.root.execute(
        "insert into audit_tombstone (tenant_id, subject_id, request_id, removes, at, signature)"
        " values (%s, %s, %s, false, %s, %s)",
        [ACME, subject, request, at, signing.sign(body, tombstones.PURPOSE)],
    )


JANUARY = "at < '2026-02-01T00:00Z'"


def test_a_month_that_was_dropped(trail: Trail) -> None:
    gone = _without_january(trail)
    assert "event_missing" in kinds(trail)
    _say_dropped(trail, "2026-01", gone)
    assert "pruned_untold" in kinds(trail)
    _write_of_it(trail, "2026-01", gone)
    report = trail.verify()
    assert report.ok, report.findings
    assert report.figures["pruned"] == gone
    trail.root.execute("delete from audit_event where id = (select min(id) from audit_event)")
    assert not trail.verify().ok  # more is gone than was dropped


def _without_january(trail: Trail) -> int:
    late = datetime(2026, 1, 31, 23, 59, 57, tzinfo=UTC)
    trail.grow_at(late, rounds=3, events=10)  # one of the rounds reaches into February
    trail.grow(rounds=2)
    trail.root.execute(f"delete from audit_payload where {JANUARY}")
    return trail.root.execute(f"delete from audit_event where {JANUARY}").rowcount


def _say_dropped(trail: Trail, month: str, rows: int, table: str = "audit_event") -> None:
    drop = """insert into audit_prunedmonth ("table", month, rows, pruned_at)
              values (%s, %s, %s, now())"""
    trail.root.execute(drop, [table, f"{month}-01", rows])


def _write_of_it(trail: Trail, month: str, rows: int, table: str = "audit_event") -> None:
    told = {"table": table, "month": month, "rows": rows}
    now = datetime.now(UTC)
    trail.write(action=Action.AUDIT_PRUNE, tenant_id=None, at=now, detail=Jsonb(told))
    trail.seal()


@pytest.mark.parametrize("month", ["2020-01", "2026-01"])  # before the first seal, and after it
@pytest.mark.parametrize("hashed", [False, True])
def test_what_was_sealed_lately_did_not_go_with_a_month(
    trail: Trail, month: str, hashed: bool
) -> None:
    """Whoever owns the database says so in all places, and has it sealed by us."""
    trail.grow_at(datetime(2026, 1, 20, tzinfo=UTC), rounds=1, events=1)
    trail.grow(rounds=3)
    _take_as_if_of(trail, datetime.fromisoformat(f"{month}-10T00:00Z"), hashed=hashed)
    rows = trail.root.execute(f"delete from audit_event where {JANUARY}").rowcount
    rows += Seal.objects.of_tenant(ACME).order_by("-batch")[0].size
    _say_dropped(trail, month, rows)
    _write_of_it(trail, month, rows)
    found = kinds(trail, witnesses=[Witness("w", trail.witnessed, delivered=5)])
    assert {"checkpoint_broken" if hashed else "seal_broken", "event_missing"} <= found
    assert ("pruned_untold" in found) == (month == "2020-01")


def _take_as_if_of(trail: Trail, at: datetime, *, hashed: bool) -> None:
    """The newest batch's events, and the seal says that they were of that time."""
    theirs = Seal.objects.of_tenant(ACME).order_by("-batch")[0]
    trail.root.execute("delete from audit_payload where request_id in (select request_id"
                       " from audit_event where id = any(%s))", [theirs.event_ids])  # fmt: skip
    trail.root.execute("delete from audit_event where id = any(%s)", [theirs.event_ids])
    theirs.first_at = theirs.last_at = at
    hash_ = chain.computed_hash(theirs) if hashed else bytes(theirs.hash)
    trail.root.execute("update audit_seal set (first_at, last_at, hash) = (%s, %s, %s)"
                       " where id = %s", [at, at, hash_, theirs.id])  # fmt: skip


def test_events_that_bear_an_old_time_and_a_new_seal_did_not_go_with_a_month(trail: Trail) -> None:
    trail.grow_at(datetime(2026, 1, 20, tzinfo=UTC), rounds=1)
    trail._at = datetime(2026, 1, 25, tzinfo=UTC)
    trail.grow(rounds=1)
    gone = trail.root.execute("delete from audit_event").rowcount
    trail.root.execute("delete from audit_payload")
    _say_dropped(trail, "2026-01", gone)
    _write_of_it(trail, "2026-01", gone)
    report = trail.verify()
    assert {finding.kind for finding in report.findings} == {"event_missing"}
    assert report.found == 15


def test_a_month_does_not_go_before_its_tenants_retention(trail: Trail) -> None:
    """Half a year is not enough where the tenant keeps longer, whatever the database says."""
    Tenant.objects.create(id=ACME, name="acme", retention_days=2000)
    gone = _without_january(trail)
    _say_dropped(trail, "2026-01", gone)
    _write_of_it(trail, "2026-01", gone)
    report = trail.verify()
    assert {finding.kind for finding in report.findings} == {"event_missing"}
    assert {finding.tenant_id for finding in report.findings} == {str(ACME)}
    # Lowered for a moment, by hand: it is in the seals, and nobody is on record for it.
    Tenant.objects.filter(pk=ACME).update(retention_days=200)
    trail.grow(rounds=1)
    assert kinds(trail) == {"retention_lowered"}
    Tenant.objects.filter(pk=ACME).update(retention_days=2000)
    trail.grow(rounds=1)
    assert kinds(trail) == {"retention_lowered"}
    # By whoever may: what went then is gone, also when it is raised again.
    days = Jsonb({"data_class": "audit", "days": [2000, 200]})
    now = datetime.now(UTC)
    trail.write(action=Action.RETENTION_CHANGE, tenant_id=ACME, at=now, detail=days)
    trail.seal()
    assert not kinds(trail)


@pytest.mark.parametrize("column", ["retention_days = 184", "retention_days = null"])
def test_the_days_in_a_seal_cannot_be_changed(trail: Trail, column: str) -> None:
    trail.grow(rounds=2)
    trail.root.execute(f"update audit_seal set {column}")
    assert kinds(trail) == {"seal_broken"}


def test_seals_of_before_that_say_nothing_of_retention_hold(trail: Trail) -> None:
    """And what was sealed under them goes by the floor."""
    with patch.object(seal, "_retention", lambda _tenants: dict.fromkeys(TENANTS_OR_NONE)):
        gone = _without_january(trail)
    trail.grow(rounds=1)
    _say_dropped(trail, "2026-01", gone)
    _write_of_it(trail, "2026-01", gone)
    report = trail.verify()
    assert report.ok, report.findings


def test_a_month_does_not_go_in_part(trail: Trail) -> None:
    trail.grow_at(datetime(2026, 1, 20, tzinfo=UTC), rounds=2)
    trail.grow(rounds=1)
    for table in ("audit_event", "audit_payload"):
        gone = f"delete from {table} where id = (select min(id) from {table} where {JANUARY})"
        assert trail.root.execute(gone).rowcount == 1
        _say_dropped(trail, "2026-01", 1, table)
        _write_of_it(trail, "2026-01", 1, table)
        assert "pruned_in_part" in kinds(trail)


def test_an_event_at_the_edge_of_a_dropped_month_cannot_go_with_it(trail: Trail) -> None:
    """Its batch may lack events, so that the count alone tells of it."""
    gone = _without_january(trail)
    _say_dropped(trail, "2026-01", gone)
    _write_of_it(trail, "2026-01", gone)
    _delete_at_the_edge(trail)
    assert kinds(trail) == {"event_missing"}


def _delete_at_the_edge(trail: Trail) -> None:
    """The newest event, of February, in a batch with some of January."""
    february = datetime(2026, 2, 1, tzinfo=UTC)
    batch = Seal.objects.filter(first_at__lt=february, last_at__gte=february)[0]
    (edge,) = trail.root.execute(
        "select id, request_id from audit_event where id = any(%s) order by at desc limit 1",
        [batch.event_ids],
    )
    trail.root.execute("delete from audit_payload where request_id = %s", [edge[1]])
    trail.root.execute("delete from audit_event where id = %s", [edge[0]])


def test_a_month_is_told_of_once(trail: Trail) -> None:
    """More went at its edge than was dropped: who says so has to say it a second time."""
    gone = _without_january(trail)
    _write_of_it(trail, "2026-01", gone)
    _delete_at_the_edge(trail)
    _say_dropped(trail, "2026-01", gone + 1)
    _write_of_it(trail, "2026-01", gone + 1)
    assert "pruned_untold" in kinds(trail)


def test_a_month_is_not_dropped_before_its_time(trail: Trail) -> None:
    trail.grow(rounds=2)
    month = f"{datetime.now(UTC):%Y-%m}-01"
    trail.root.execute(f"""insert into audit_prunedmonth ("table", month, rows, pruned_at)
                           values ('audit_event', '{month}', 30, now())""")
    trail.root.execute("delete from audit_event")
    assert {"pruned_early", "event_missing"} <= kinds(trail)


def test_a_witness_that_lost_something_is_no_witness(trail: Trail) -> None:
    trail.grow(rounds=5)
    assert kinds(trail, witnesses=[Witness("w", trail.witnessed[:3], delivered=5)]) == {
        "witness_lost"
    }
    gap = [*trail.witnessed[:2], *trail.witnessed[3:]]
    assert kinds(trail, witnesses=[Witness("w", gap)]) == {"witness_lost"}
    twice = [*trail.witnessed, *trail.witnessed[2:], b"{torn"]
    assert not kinds(trail, witnesses=[Witness("w", twice, delivered=5)])
    late = trail.witnessed[2:]
    assert kinds(trail, witnesses=[Witness("w", late, delivered=5)]) == {"witness_lost"}


def run(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("audit_verify", *words, stdout=out, stderr=out)
    except SystemExit as end:
        return int(str(end.code or 0)), out.getvalue()
    except CommandError as problem:
        return problem.returncode, str(problem)
    return 0, out.getvalue()


def test_a_database_that_is_away_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that hears 1 takes the trail for changed."""

    def tenant_id(_text: str | None) -> None:
        raise OperationalError("connection refused")

    module = "tenants.management.commands.audit_verify"
    monkeypatch.setattr(f"{module}.tenant_id", tenant_id)
    assert run("--tenant", "acme") == (2, "cannot verify: connection refused")


def test_the_command_tells_people_and_programs(trail: Trail, tmp_path: Path, settings: Any) -> None:
    trail.grow(rounds=3)
    witness = tmp_path / "witness.jsonl"
    settings.WITNESSES = [witness.as_uri()]
    witness.write_bytes(b"\n".join(trail.witnessed) + b"\n")
    code, said = run("--witness", str(witness))
    assert code == 0, said
    assert "45 events" in said
    code, said = run("--json", "--tenant", str(ACME), "--no-texts")
    assert (code, json.loads(said)["ok"]) == (0, True)
    trail.root.execute("update audit_event set actor = 'x' where id = (select max(id) - 2 from"
                       " audit_event)")  # fmt: skip
    trail.root.commit()
    code, said = run("--witness", str(witness))
    assert code == 1
    assert "is not what was sealed" in said
    found = json.loads(run("--json")[1])
    assert found["findings"][0]["kind"] == "event_changed"


def test_what_somebody_wrote_into_a_row_moves_no_cursor(trail: Trail) -> None:
    """Who reads the verdict in a terminal would see theirs instead."""
    trail.grow(rounds=1)
    trail.root.execute("update audit_checkpoint set key_id = %s", ["\x1b[2J\nAll is well\x1b[8m"])
    trail.root.commit()
    code, said = run("--no-texts")
    assert (code, "foreign key (\\x1b[2J\\nAll is well" in said) == (1, True), said
    assert all(line.isprintable() for line in said.splitlines())


def test_the_command_says_why_it_cannot_run(tmp_path: Path) -> None:
    for words in (
        ["--witness", str(tmp_path / "nowhere")],
        ["--tenant", "no-such-tenant"],
        ["--from", "yesterday"],
        ["--public-key", "abc"],
    ):
        code, said = run(*words)
        assert (code, "Traceback" in said) == (2, False), said


def test_a_key_of_before_can_be_named(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    trail.grow(rounds=2)
    before = signing.public_key()
    settings.AUDIT_SIGNING_KEY = bytes(range(32))
    trail.grow(rounds=1)
    assert kinds(trail) == {"foreign_key"}
    assert trail.verify(keys=[before]).ok
    assert seal.seal_round() == 0
