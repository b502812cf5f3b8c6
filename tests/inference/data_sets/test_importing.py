"""Uploads become rows: what is wrong with a line is said by its number and a code."""

import zipfile
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from pytest_django.fixtures import Settings

from audit.actions import Action
from audit.models import Event
from inference.data_sets import archives, importing, rows, storage_limit, uploading
from inference.data_sets.report import ImportReport
from inference.data_sets.storage_limit import StorageFull, TooLarge
from inference.models import (
    ChunkPart,
    DataSet,
    DataSetChunk,
    DataSetFormat,
    DataSetState,
    DataSetVersion,
)
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tests.inference.data_sets.conftest import (
    BY,
    Pack,
    chat,
    imported,
    jsonl,
    tarred,
    texts,
    uploaded,
    waiting,
    zipped,
)

pytestmark = pytest.mark.django_db(transaction=True)
TEXTS, MARKDOWN = DataSetFormat.TEXTS, DataSetFormat.MARKDOWN


def test_chats_in_several_pieces_become_rows(manual: DataSet) -> None:
    asked = [f"Where is sluice {number}? 水闸" for number in range(300)]
    version = uploaded(manual, jsonl(map(chat, asked)), pieces=7)
    assert (version.state, version.rows, version.problem) == (DataSetState.READY, 300, "")
    assert texts(version)[7] == "user: Where is sluice 7? 水闸\n\nassistant: Behind the dam."
    assert version.report["characters"]["max"] == len(texts(version)[299])
    assert not version.chunks.filter(part=ChunkPart.UPLOAD).exists()
    assert version.stored_bytes == sum(version.chunks.values_list("size", flat=True))


def test_no_text_lies_in_clear(manual: DataSet) -> None:
    version = uploaded(manual, jsonl([chat("the secret sluice")]))
    stored = [bytes(chunk.ciphertext) for chunk in DataSetChunk.objects.all()]
    assert stored
    assert not any(b"secret" in each for each in stored)
    assert "secret" not in str(version.report)


def test_what_is_left_out_is_told_by_line_and_code(manual: DataSet) -> None:
    lines = [
        orjson_line(chat("first")),
        b"{broken",
        orjson_line({"messages": [{"role": "user", "content": "no answer"}]}),
        orjson_line({"messages": [{"role": "pirate", "content": "x"}]}),
        b'{"messages": [{"role": "user", "content": "\xff"}]}\n',
        b"[1]\n",
        orjson_line(chat("x", extra=1)),
        orjson_line(chat("x", person="nobody@acme.example")),
        b'{"text": "' + b"x" * 5_000_000 + b'"}\n',
        b"\n",
        orjson_line(chat("last")),
    ]
    version = uploaded(manual, b"\n".join(line.rstrip(b"\n") for line in lines), pieces=3)
    assert version.rows == 2
    assert {one["line"]: one["code"] for one in version.report["problems"]} == {
        2: "not_json",
        3: "no_assistant",
        4: "bad_role",
        5: "not_utf8",
        6: "not_an_object",
        7: "unknown_field",
        8: "unknown_person",
        9: "too_long",
    }


def orjson_line(row: object) -> bytes:
    return jsonl([row])


def test_lines_that_nobody_can_write_again_or_look_up_are_left_out(manual: DataSet) -> None:
    deep = b'{"text": "deep", "source": ' + b"[" * 300 + b"]" * 300 + b"}\n"
    inside = orjson_line(chat("x")).replace(b'"x"', b'"x", "name": ' + b"[" * 300 + b"]" * 300)
    lines = [
        inside,
        deep,
        orjson_line(chat("x", person="a\0@acme.example")),
        orjson_line(chat("x", person="a" * 1_000_000)),
        orjson_line(chat("last")),
    ]
    version = uploaded(manual, b"".join(lines))
    assert (version.state, version.rows, version.problem) == (DataSetState.READY, 1, "")
    assert [one["code"] for one in version.report["problems"]] == [
        *("not_json", "not_json"),
        *("unknown_person", "unknown_person"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_rows"),
        (b"not json\n", "no_rows"),
        ('{"text": "Wehr"}'.encode("utf-16"), "no_rows"),
        (b"x\n" * 10_002, "too_many_problems"),
    ],
)
def test_a_source_without_rows_fails(manual: DataSet, content: bytes, code: str) -> None:
    version = uploaded(manual, content, TEXTS)
    assert (version.state, version.problem) == (DataSetState.FAILED, code)
    assert not DataSetChunk.objects.exists()
    assert version.stored_bytes == 0


def test_a_byte_order_mark_is_no_part_of_the_first_line(manual: DataSet) -> None:
    version = uploaded(manual, b"\xef\xbb\xbf" + jsonl([{"text": "weir"}]), TEXTS)
    assert texts(version) == ["weir"]


def test_rows_lie_under_the_key_of_their_person(
    manual: DataSet, alice: Member, bob: Member
) -> None:
    stranger = uuid4()  # a customer of acme, by a pseudonym of acme's own
    content = jsonl(
        [
            chat("hers", person="alice@acme.example"),
            chat("his", person=str(bob.subject_id)),
            chat("a customer's", person=str(stranger)),
            chat("nobody's"),
        ]
    )
    version = uploaded(manual, content)
    people = {alice.subject_id, bob.subject_id, stranger}
    assert set(version.people.values_list("subject_id", flat=True)) == people
    owners = version.chunks.values_list("subject_id", "data_key_id")
    assert len({key for _owner, key in owners}) == 4
    assert version.report["people"] == 3


@pytest.mark.parametrize("pack", [zipped, tarred, lambda pages: tarred(pages, "xz")])
def test_an_archive_of_markdown_becomes_texts(manual: DataSet, pack: Pack) -> None:
    pages = {"docs/weir.md": "# Weir\n\nIt holds water.", "docs/图.txt": "闸门", "logo.png": "x"}
    version = uploaded(manual, pack(pages), MARKDOWN, pieces=2)
    assert texts(version) == ["# Weir\n\nIt holds water.", "闸门"]
    assert version.report["left_out"] == {"not_a_page": 1}


def test_a_single_page_needs_no_archive(manual: DataSet) -> None:
    assert texts(uploaded(manual, b"# Weir", MARKDOWN)) == ["# Weir"]


def test_names_of_an_archive_are_never_paths(manual: DataSet) -> None:
    pages = {"../../etc/passwd.md": "x", "/root/page.md": "x", "a\\..\\b.md": "x", "ok.md": "fine"}
    version = uploaded(manual, zipped(pages), MARKDOWN)
    assert texts(version) == ["fine"]
    assert version.report["left_out"] == {"unsafe_name": 3}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch, pack: Pack
) -> None:
    monkeypatch.setattr(archives, "MOST_UNPACKED", 1_000_000)
    bomb = pack({f"{number}.bin": "0" * 400_000 for number in range(3)})
    assert len(bomb) < 10_000
    version = uploaded(manual, bomb, MARKDOWN)
    assert (version.state, version.problem) == (DataSetState.FAILED, "archive_too_large")


def test_an_archive_that_lies_about_its_sizes_is_read_no_further(manual: DataSet) -> None:
    bomb = bytearray(zipped({"page.md": "0" * 20_000_000}))
    at = bytes(bomb).rfind(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = (100).to_bytes(4, "little")  # the size after unpacking
    version = uploaded(manual, bytes(bomb), MARKDOWN)
    assert version.state == DataSetState.FAILED


@pytest.mark.parametrize("at", [10, 60])
def test_a_broken_archive_fails(manual: DataSet, at: int) -> None:
    packed = zipped({"page.md": "water " * 1000})
    version = uploaded(manual, packed[:at] + packed[at + 9 :], MARKDOWN)
    assert (version.state, version.problem) == (DataSetState.FAILED, "archive_broken")


def test_a_directory_that_would_fill_the_memory_is_refused(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1_000)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}.md", "x")
    assert uploaded(manual, packed.getvalue(), MARKDOWN).problem == "archive_too_large"


def test_pieces_come_in_order_and_the_last_may_come_twice(manual: DataSet) -> None:
    first, second = jsonl([chat("one")]), jsonl([chat("two")])
    with tenant_scope(manual.tenant_id):
        version = uploading.begin(manual, DataSetFormat.CHATS, by=BY)
        uploading.add_piece(version, 0, first)
        uploading.add_piece(version, 0, first)
        with pytest.raises(uploading.WrongPiece, match="1"):
            uploading.add_piece(version, 2, second)
        uploading.add_piece(version, 1, second)
        uploading.finish(version)
        with pytest.raises(uploading.NotUploading):
            uploading.add_piece(version, 2, second)
    assert imported(version).rows == 2


def test_a_version_and_a_tenant_have_limits(manual: DataSet, settings: Settings) -> None:
    settings.DATA_SET_BYTES, settings.DATA_SETS_BYTES = 1_000, 1_500
    with tenant_scope(manual.tenant_id):
        version = uploading.begin(manual, TEXTS, by=BY)
        uploading.add_piece(version, 0, b"x" * 900)
        with pytest.raises(TooLarge):
            uploading.add_piece(version, 1, b"x" * 200)
        other = uploading.begin(manual, TEXTS, by=BY)
        with pytest.raises(StorageFull) as full:
            uploading.add_piece(other, 0, b"x" * 700)
        assert full.value.stored == storage_limit.stored(manual.tenant_id) == 900


def test_rows_that_grow_over_the_limit_fail_the_version(
    manual: DataSet, settings: Settings
) -> None:
    settings.DATA_SET_BYTES = 2_000
    version = uploaded(manual, zipped({"page.md": "0" * 100_000}), MARKDOWN)
    assert (version.state, version.problem) == (DataSetState.FAILED, "too_large")


def test_a_reader_that_dies_is_followed_by_another(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(importing, "complete", die)
        with pytest.raises(SystemExit):
            uploaded(manual, jsonl([chat("one"), chat("two")]))
    version = manual.versions.get()
    importing.import_due()  # its lease holds
    version.refresh_from_db()
    assert version.state == DataSetState.IMPORTING
    manual.versions.update(leased_until=None)
    assert len(texts(imported(version))) == 2
    assert version.state == DataSetState.READY


def test_of_a_tenant_one_version_is_read_at_a_time_and_nobody_else_waits_for_it(
    manual: DataSet, alice: Member, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant_scope(manual.tenant_id):
        own = DataSet.create(manual.tenant, "another", alice.subject_id, by=BY)
    with tenant_scope(globex.pk):
        theirs = DataSet.create(globex, "theirs", uuid4(), by=BY)
    content = jsonl([chat("one")])
    versions = [waiting(data_set, content) for data_set in (manual, own, theirs)]
    parse, meanwhile = rows.parse, list[str]()

    def look(*arguments: Any) -> Any:
        if not meanwhile:
            meanwhile.append("")
            importing.import_due()  # in another thread
            meanwhile[:] = [DataSetVersion.objects.get(pk=each.pk).state for each in versions]
        return parse(*arguments)

    monkeypatch.setattr(rows, "parse", look)
    importing.import_due()
    assert meanwhile == ["importing", "importing", "ready"]
    assert set(DataSetVersion.objects.values_list("state", flat=True)) == {"ready"}


@pytest.mark.parametrize("lines", [jsonl([chat("one"), chat("two")]), b"\n" * 100 + b"broken\n"])
def test_a_reader_that_was_given_up_leaves_the_version_to_its_follower(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch, lines: bytes
) -> None:
    """It had stood still for longer than its lease."""
    monkeypatch.setattr(importing, "RENEWED_EVERY_S", -1.0)
    read, stands = rows.parse, [True]

    def taken_over(*arguments: Any) -> Any:
        if stands.pop() if stands else False:
            manual.versions.update(leased_until=None)
            importing.import_due()
        return read(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rows, "parse", taken_over)
        version = uploaded(manual, lines)
    good = lines.startswith(b"{")
    assert (version.attempts, version.state) == (2, "ready" if good else "failed")
    assert len(texts(version)) == version.rows == (2 if good else 0)
    assert Event.objects.filter(action=Action.DATA_SET_IMPORT).count() == 1


def test_a_reader_shows_that_it_lives_while_it_passes_over_lines(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "RENEWED_EVERY_S", -1.0)
    leases = []

    def look(*_: object) -> None:
        lease = manual.versions.get().leased_until
        assert lease
        leases.append(lease)

    monkeypatch.setattr(ImportReport, "left_out", look)
    uploaded(manual, b"broken\n" * 3)
    assert leases == sorted(set(leases)), "each is later than the one before"


def test_a_source_that_kills_its_reader_each_time_is_given_up(
    manual: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise SystemExit

    monkeypatch.setattr(importing, "complete", die)
    for _attempt in range(importing.ATTEMPTS):
        with pytest.raises(SystemExit):
            if not manual.versions.exists():
                uploaded(manual, jsonl([chat("one")]))
            importing.import_due()
        manual.versions.update(leased_until=None)
    importing.import_due()
    version = manual.versions.get()
    assert (version.state, version.problem) == (DataSetState.FAILED, "broken_off")
    assert not version.chunks.exists()


def test_an_upload_that_nobody_ends_is_given_up(manual: DataSet) -> None:
    with tenant_scope(manual.tenant_id):
        version = uploading.begin(manual, TEXTS, by=BY)
        uploading.add_piece(version, 0, b"x")
    importing.import_due()
    version.refresh_from_db()
    assert version.state == DataSetState.UPLOADING
    manual.versions.update(created_at="2026-01-01T00:00:00Z")
    assert imported(version).problem == "abandoned"
    assert version.stored_bytes == 0


def test_each_act_is_on_record(manual: DataSet) -> None:
    uploaded(manual, jsonl([chat("one")]))
    actions = Event.objects.filter(action__startswith="data_set:").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        Action.DATA_SET_CREATE,
        Action.DATA_SET_ADD,
        Action.DATA_SET_IMPORT,
    ]
