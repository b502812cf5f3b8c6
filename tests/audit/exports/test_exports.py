"""The trail as a file: whole, encrypted, told of, and gone after its time."""

import csv
import errno
import io
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from audit.exports import export_file, trail_export
from audit.keys import encrypted_file
from audit.keys.cipher import Cipher, Unreadable
from audit.models import Event, Export
from audit.retention import legal_hold, pruning
from audit.search.events import Filters, oldest_first
from infrastructure.csv_cells import FORMULA
from tenants.models import Tenant

KEY = Cipher(uuid4(), AESGCM(AESGCM.generate_key(256)))
AAD = b"place"


# Sealed files ------------------------------------------------------------------------------------
def ciphertext(path: Path, data: bytes) -> Path:
    with encrypted_file.EncryptedFile(path, KEY, AAD) as file:
        for start in range(0, len(data), 70_000):
            file.write(data[start : start + 70_000])
    return path


@pytest.mark.unit
@pytest.mark.parametrize(
    "size", [0, 1, 1000, encrypted_file.PIECE, encrypted_file.PIECE + 1, 900_000]
)
def test_a_file_opens_as_it_was_write_file(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    path = ciphertext(tmp_path / "a", data)
    assert b"".join(encrypted_file.decrypted(path, KEY, AAD)) == data
    assert size < 100 or data[:100] not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def frames(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:4], "big") + 4
        found.append(data[:length])
        data = data[length:]
    return found


@pytest.mark.unit
@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f[:-1],
        lambda f: f[1:],
        lambda f: [f[1], f[0], *f[2:]],
        lambda f: [*f, f[-1]],
        lambda f: [f[0], *f],
        lambda f: [*f[:-1], f[-1][:-1]],
        lambda f: [*f, b"x"],
        lambda f: [],
    ],
)
def test_pieces_cannot_be_moved_left_out_or_cut_off(tmp_path: Path, damage: Any) -> None:
    path = ciphertext(tmp_path / "a", b"x" * 900_000)
    path.write_bytes(b"".join(damage(frames(path.read_bytes()))))
    with pytest.raises(Unreadable):
        b"".join(encrypted_file.decrypted(path, KEY, AAD))


@pytest.mark.unit
def test_one_flipped_bit_closes_it(tmp_path: Path) -> None:
    path = ciphertext(tmp_path / "a", b"some text " * 100)
    whole = path.read_bytes()
    for bit in range(0, len(whole) * 8, 97):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(Unreadable):
            b"".join(encrypted_file.decrypted(path, KEY, AAD))


@pytest.mark.unit
def test_it_does_not_open_in_another_place(tmp_path: Path) -> None:
    path = ciphertext(tmp_path / "a", b"text")
    with pytest.raises(Unreadable):
        list(encrypted_file.decrypted(path, KEY, b"elsewhere"))


@pytest.mark.unit
def test_what_broke_off_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        encrypted_file.EncryptedFile(tmp_path / "a", KEY, AAD) as file,
    ):
        file.write(b"x" * 900_000)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


# Cells -------------------------------------------------------------------------------------------
@pytest.mark.unit
@given(st.text(max_size=30))
def test_no_cell_is_a_formula(text: str) -> None:
    assert not trail_export.cell(text).startswith(FORMULA)


@pytest.mark.unit
def test_numbers_stay_numbers() -> None:
    assert [trail_export.cell(value) for value in (-5, 0, None, True, "x")] == [
        "-5",
        "0",
        "",
        "True",
        "x",
    ]


# Exports -----------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_file, "wake", lambda task: None)


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.FOREBAY_HOME = tmp_path
    return tmp_path / "exports"


def event(tenant: Tenant, **given: Any) -> Event:
    fields: dict[str, Any] = {
        "at": timezone.now(),
        "action": "completion:completed",
        "tenant_id": tenant.id,
        "actor": "key:x",
        "request_id": uuid4(),
    }
    return Event.objects.create(**{**fields, **given})


def made(tenant: Tenant, filters: Filters = Filters(), form: str = "csv") -> Export:  # noqa: B008
    export = trail_export.ask(tenant.id, filters, form, by="member:a")
    assert trail_export.work() == 1
    export.refresh_from_db()
    return export


def table(export: Export) -> list[dict[str, str]]:
    text = b"".join(trail_export.download(export, by="member:a")).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def told() -> list[dict[str, Any]]:
    return [e.detail for e in Event.objects.filter(action="audit:export").order_by("id")]


def test_csv_has_what_was_asked_for(tenant: Tenant, home: Path) -> None:
    other = Tenant.open("globex", by="test")
    mine = [event(tenant, model="llama", detail={"a": "=1+1"}) for _ in range(3)]
    event(tenant, model="qwen")
    event(other, model="llama")
    export = made(tenant, Filters(model="llama"))
    assert (export.state, export.rows) == ("ready", 3)
    rows = table(export)
    assert [row["id"] for row in rows] == [str(e.id) for e in mine]  # oldest first
    assert rows[0]["request_id"] == str(mine[0].request_id)
    assert set(rows[0]) == set(trail_export.COLUMNS)


NOBODY = [
    Filters(actors=()),
    Filters(actors=("member:a",), api_key_id=uuid4()),
    Filters(actors=(), action="completion:completed"),
]


@pytest.mark.parametrize("filters", NOBODY)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_of_an_unknown_person_there_is_nothing(
    tenant: Tenant, home: Path, form: str, filters: Filters
) -> None:
    event(tenant)
    export = made(tenant, filters, form)
    assert (export.state, export.rows) == ("ready", 0), export.problem
    assert b"key:x" not in b"".join(trail_export.download(export, by="member:a"))


def test_what_would_be_a_formula_is_none(tenant: Tenant, home: Path) -> None:
    event(tenant, model="=cmd|' /C calc'!A0", error_code="@x", upstream="+1")
    (row,) = table(made(tenant, Filters(action="completion:completed")))
    assert (row["model"], row["error_code"], row["upstream"]) == (
        "'=cmd|' /C calc'!A0",
        "'@x",
        "'+1",
    )


def test_it_lies_sealed_under_the_tenants_key(tenant: Tenant, home: Path) -> None:
    event(tenant, model="a-model-with-a-name")
    export = made(tenant)
    (path,) = home.iterdir()
    assert b"a-model-with-a-name" not in path.read_bytes()
    assert path.name == f"{export.id}.sealed"


def test_asking_and_downloading_are_on_record(tenant: Tenant, home: Path) -> None:
    event(tenant)
    export = made(tenant, Filters(model="llama"))
    list(trail_export.download(export, by="member:b"))
    asked, taken = told()
    assert asked == {"export": str(export.id), "form": "csv", "model": "llama"}
    assert taken == {"export": str(export.id), "download": True, "sha256": export.sha256}


def test_many_events_come_in_chunks_all_of_them(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = timezone.now()
    for n in range(50):
        event(tenant, at=at - timedelta(seconds=n // 5), model="rare" if n % 7 == 0 else "llama")
    before = oldest_first
    monkeypatch.setattr("audit.search.events.LOOK", 10)
    monkeypatch.setattr(trail_export, "oldest_first", lambda t, f, u: before(t, f, u, 4))
    assert len(table(made(tenant, Filters(model="rare")))) == 8
    assert len(table(made(tenant, Filters(action="completion:completed")))) == 50


def test_what_comes_later_is_not_in_it(tenant: Tenant, home: Path) -> None:
    event(tenant, model="llama")
    export = trail_export.ask(tenant.id, Filters(model="llama"), "csv", by="a")
    event(tenant, model="llama")
    trail_export.work()
    export.refresh_from_db()
    assert len(table(export)) == 1


@pytest.mark.parametrize(
    ("problem", "said"),
    [(OSError(errno.ENOSPC, "No space"), "the disk is full"), (ValueError("odd"), "odd")],
)
def test_what_fails_says_why_and_leaves_nothing(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, said: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(encrypted_file.EncryptedFile, "write", fails)
    export = made(tenant)
    assert (export.state, export.problem) == ("failed", said)
    assert list(home.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        trail_export.download(export, by="a")


def test_too_many_rows_are_refused(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_export, "MOST_ROWS", 2)
    for _ in range(3):
        event(tenant)
    export = made(tenant)
    assert export.state == "failed"
    assert "shorter time" in export.problem


def test_three_at_once_and_no_more(tenant: Tenant) -> None:
    for _ in range(trail_export.MOST_MAKING):
        trail_export.ask(tenant.id, Filters(), "csv", by="a")
    with pytest.raises(ValidationError):
        trail_export.ask(tenant.id, Filters(), "csv", by="a")


def test_a_form_that_there_is_not(tenant: Tenant) -> None:
    with pytest.raises(ValidationError):
        trail_export.ask(tenant.id, Filters(), "xml", by="a")


def test_it_is_gone_after_its_days(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = made(tenant)
    late = timezone.now() + timedelta(days=7, seconds=5)
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    with pytest.raises(FileNotFoundError):  # before the night, too
        trail_export.download(export, by="a")
    pruning.prune()
    assert list(home.iterdir()) == []
    assert not Export.objects.exists()


def test_a_hold_keeps_a_persons_own_export(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = uuid4()
    legal_hold.request(
        tenant.id,
        by="a",
        reason="x",
        expires_at=timezone.now() + timedelta(days=30),
        subject_id=whose,
    )
    for subject in (whose, None):
        Export.objects.create(
            tenant_id=tenant.id,
            subject_id=subject,
            kind="subject",
            actor="a",
            expires_at=timezone.now(),
        )
    late = timezone.now() + timedelta(hours=71)
    Export.objects.update(created_at=timezone.now() - timedelta(days=20))
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    pruning.prune()
    assert [export.subject_id for export in Export.objects.all()] == [whose]


def test_dropped_while_it_is_made_it_leaves_nothing(
    tenant: Tenant, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event(tenant)
    export = trail_export.ask(tenant.id, Filters(), "csv", by="a")
    before = trail_export._write_file

    def dropped(being_made: Export) -> dict[str, Any]:
        written = before(being_made)
        trail_export.drop(export, by="a")
        return written

    monkeypatch.setattr(trail_export, "_write_file", dropped)
    trail_export.work()
    assert list(home.iterdir()) == []
    assert not Export.objects.exists()
    assert told()[-1]["dropped"] is True


def test_what_was_asked_for_comes_back_as_it_was() -> None:
    now = timezone.now()
    filters = Filters(
        subject_id=uuid4(),
        actors=("key:a", "member:b"),
        since=now - timedelta(days=1),
        until=now,
        status=502,
        failed=True,
        net="192.0.2.0",
    )
    assert trail_export.filters_of(trail_export.filters_as_json(filters)) == filters
    assert trail_export.filters_as_json(Filters()) == {}
