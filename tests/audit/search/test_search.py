"""Finding events and texts: the right ones, in order, once each, and nobody else's."""

import random
import tracemalloc
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone

from audit.keys.keyring import destroy, keyring
from audit.models import DataKey, Event, Payload
from audit.search import text_search, texts
from audit.search.events import BadCursor, EventPage, Filters, page, queryset, statement
from infrastructure.postgres.scope import scope

pytestmark = pytest.mark.django_db
TENANT, OTHER = uuid4(), uuid4()
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = [uuid4() for _ in range(3)]
SUBJECTS = [uuid4() for _ in range(3)]


def an_event(n: int, **given: Any) -> Event:
    fields: dict[str, Any] = {
        "at": BEGAN + timedelta(seconds=n),
        "action": "completion:completed",
        "tenant_id": TENANT,
        "actor": "key:x",
        "request_id": uuid4(),
    }
    return Event(**{**fields, **given})


def add(n: int, **given: Any) -> Event:
    made = an_event(n, **given)
    made.save(force_insert=True)
    return made


@pytest.fixture
def many(db: None) -> list[Event]:
    """200 events of two tenants, several in the same microsecond."""
    draw = random.Random(7)
    made = []
    for _ in range(200):
        which = draw.randrange(3)
        made.append(
            an_event(
                draw.randrange(60),
                tenant_id=draw.choice([TENANT, TENANT, OTHER]),
                actor=f"key:{KEYS[which]}",
                subject_id=SUBJECTS[which],
                action=draw.choice(
                    ["completion:received", "completion:completed", "api_key:create"]
                ),
                model=draw.choice(["llama", "qwen"]),
                route=draw.choice(["/v1/a", "/v1/b"]),
                status=draw.choice([None, 200, 404, 502]),
                success=draw.random() < 0.8,
                client_net=draw.choice([None, "192.0.2.0", "2001:db8::"]),
            )
        )
    return Event.objects.bulk_create(made)


def in_order(events: list[Event]) -> list[int]:
    return [e.id for e in sorted(events, key=lambda e: (e.at, e.id), reverse=True)]


def walk(filters: Filters, tenant: UUID | None = TENANT, **how: Any) -> tuple[list[int], str]:
    """Every page from the newest on; and the last page's cursor to newer ones."""
    found, cursor, newer = [], "", ""
    for _ in range(1000):
        shown = page(tenant, filters, cursor, **how)
        found += [event.id for event in shown.rows]
        newer = shown.newer or newer
        cursor = shown.older
        if not cursor:
            return found, newer
    raise AssertionError("it has no end")


CHOICES: list[tuple[Filters, Any]] = [
    (Filters(), lambda e: True),
    (Filters(subject_id=SUBJECTS[0]), lambda e: e.subject_id == SUBJECTS[0]),
    (Filters(api_key_id=KEYS[1]), lambda e: e.actor == f"key:{KEYS[1]}"),
    (
        Filters(actors=(f"key:{KEYS[0]}", f"key:{KEYS[2]}")),
        lambda e: e.actor != f"key:{KEYS[1]}",
    ),
    (Filters(actors=()), lambda e: False),
    (Filters(model="qwen"), lambda e: e.model == "qwen"),
    (Filters(route="/v1/b"), lambda e: e.route == "/v1/b"),
    (Filters(status=200), lambda e: e.status == 200),
    (Filters(status=502), lambda e: e.status == 502),
    (Filters(failed=True), lambda e: not e.success),
    (Filters(net="192.0.2.0"), lambda e: e.client_net == "192.0.2.0"),
    (Filters(net="2001:db8::"), lambda e: e.client_net == "2001:db8::"),
    (Filters(action="api_key:create"), lambda e: e.action == "api_key:create"),
    (Filters(action="completion:received"), lambda e: e.action == "completion:received"),
    (Filters(acts=True), lambda e: e.action == "api_key:create"),
    (
        Filters(since=BEGAN + timedelta(seconds=20), until=BEGAN + timedelta(seconds=40)),
        lambda e: 20 <= (e.at - BEGAN).total_seconds() < 40,
    ),
]


@pytest.mark.parametrize("number", range(len(CHOICES)))
@pytest.mark.parametrize("how", [{"size": 7}, {"size": 50}, {"size": 7, "look": 10}])
def test_each_filter_finds_all_of_it_once_in_order(
    many: list[Event], number: int, how: dict[str, Any]
) -> None:
    filters, right = CHOICES[number]
    expected = [e for e in many if e.tenant_id == TENANT and right(e)]
    assert walk(filters, **how)[0] == in_order(expected)
    assert set(queryset(TENANT, filters)) == set(expected)


def test_filters_are_asked_together(many: list[Event]) -> None:
    for (one, of_one), (other, of_other) in product(CHOICES, CHOICES):
        given = {
            name: getattr(which, name)
            for which in (one, other)
            for name in Filters.__dataclass_fields__
            if getattr(which, name) != getattr(Filters(), name)
        }
        if any(_both(one, other, name) for name in given):
            continue
        right = [e for e in many if e.tenant_id == TENANT and of_one(e) and of_other(e)]
        assert walk(Filters(**given), size=9, look=30)[0] == in_order(right), given


def _both(one: Filters, other: Filters, name: str) -> bool:
    """One field twice, with different values."""
    values = {getattr(one, name), getattr(other, name)} - {getattr(Filters(), name)}
    return len(values) > 1


def test_by_request_id(many: list[Event]) -> None:
    mine = next(e for e in many if e.tenant_id == TENANT)
    assert walk(Filters(request_id=mine.request_id))[0] == [mine.id]
    theirs = next(e for e in many if e.tenant_id == OTHER)
    assert walk(Filters(request_id=theirs.request_id))[0] == []


def test_the_whole_platform_is_found_without_a_tenant(many: list[Event]) -> None:
    for filters, right in CHOICES:
        found, _ = walk(filters, tenant=None, size=20, look=40)
        assert found == in_order([e for e in many if right(e)])


@pytest.mark.parametrize("number", range(len(CHOICES)))
def test_the_way_back_is_the_way_there(many: list[Event], number: int) -> None:
    filters, right = CHOICES[number]
    expected = in_order([e for e in many if e.tenant_id == TENANT and right(e)])
    there = pages_of(filters)
    back: list[int] = []
    cursor = there[-1].newer
    while cursor:
        shown = page(TENANT, filters, cursor, 7)
        back = [event.id for event in shown.rows] + back
        cursor = shown.newer
    assert back + [event.id for event in there[-1].rows] == expected


def pages_of(filters: Filters) -> list[EventPage]:
    found = [page(TENANT, filters, "", 7)]
    while found[-1].older:
        found.append(page(TENANT, filters, found[-1].older, 7))
    return found


def test_new_events_move_no_page(many: list[Event]) -> None:
    first = page(TENANT, Filters(), "", 10)
    second = [event.id for event in page(TENANT, Filters(), first.older, 10).rows]
    add(1000)
    assert [event.id for event in page(TENANT, Filters(), first.older, 10).rows] == second


def test_a_cursor_opens_its_own_list_only(many: list[Event]) -> None:
    cursor = page(TENANT, Filters(), "", 10).older
    for tenant, filters, given in (
        (OTHER, Filters(), cursor),
        (None, Filters(), cursor),
        (TENANT, Filters(model="qwen"), cursor),
        (TENANT, Filters(), cursor[:-1] + ("A" if cursor[-1] != "A" else "B")),
        (TENANT, Filters(), "nonsense"),
    ):
        with pytest.raises(BadCursor):
            page(tenant, filters, given)


def test_what_is_rare_is_looked_for_piece_by_piece() -> None:
    for n in range(60):
        add(n, model="llama")
    rare = add(-1, model="rare")
    shown = page(TENANT, Filters(model="rare"), "", look=25)
    assert (shown.rows, shown.looked_back_to) == ([], BEGAN + timedelta(seconds=35))
    shown = page(TENANT, Filters(model="rare"), shown.older, look=25)
    assert (shown.rows, shown.looked_back_to) == ([], BEGAN + timedelta(seconds=10))
    shown = page(TENANT, Filters(model="rare"), shown.older, look=25)
    assert ([e.id for e in shown.rows], shown.older) == ([rare.id], "")
    assert shown.looked_back_to is None


# Texts -------------------------------------------------------------------------------------------
def say(
    words: str, *, minutes_ago: float = 5, tenant: UUID = TENANT, whose: UUID | None = None
) -> UUID:
    request = uuid4()
    subject = whose or SUBJECTS[0]
    cipher = keyring.of_subject_now(tenant, subject)
    at = timezone.now() - timedelta(minutes=minutes_ago)
    given = {"tenant_id": tenant, "request_id": request, "field": "response", "at": at}
    place = texts.aad(tenant, request, "response")
    ciphertext = cipher.encrypt(words.encode(), place)
    Payload.objects.create(data_key_id=cipher.key_id, ciphertext=ciphertext, **given)
    Event.objects.create(
        at=at,
        action="completion:completed",
        tenant_id=tenant,
        request_id=request,
        subject_id=subject,
        actor="member:b",
    )
    return request


def look(words: str, **given: Any) -> text_search.SearchResult:
    now = timezone.now()
    asked: dict[str, Any] = {
        "by": "member:a",
        "reason": "Complaint 12",
        "since": now - timedelta(days=1),
        "until": now,
    }
    return text_search.search(TENANT, words, **{**asked, **given})


def told(action: str = "audit:search") -> list[Event]:
    return list(Event.objects.filter(action=action).order_by("id"))


def test_words_are_found_in_any_case() -> None:
    request = say("Please wire the MONEY to Zürich, STRASSE 5.")
    say("nothing of the kind")
    (hit,) = look("money  to zürich").hits
    assert (hit.request_id, hit.words) == (request, "MONEY to Zürich")
    assert (hit.before, hit.after) == ("Please wire the ", ", STRASSE 5.")
    assert look("prompt that nobody wrote").hits == []


def test_only_of_the_range_the_tenant_and_the_person() -> None:
    mine = say("the word secret", minutes_ago=10)
    say("the word secret", minutes_ago=3000)
    say("the word secret", tenant=OTHER)
    other = say("the word secret", whose=SUBJECTS[1])
    assert {hit.request_id for hit in look("word secret").hits} == {mine, other}
    assert [h.request_id for h in look("word secret", subject_id=SUBJECTS[0]).hits] == [mine]


def test_a_search_is_on_record_and_its_words_are_sealed() -> None:
    say("hello world")
    look("hello world")
    (event,) = told()
    assert event.success
    assert event.detail["reason"] == "Complaint 12"
    assert (event.detail["texts"], event.detail["found"]) == (1, 1)
    assert "hello" not in str(event.detail)
    payload = Payload.objects.get(field="search")
    assert b"hello" not in bytes(payload.ciphertext)
    opened = texts.decrypted(payload)
    assert opened
    assert opened.text == "hello world"


def test_words_of_a_search_go_with_the_person() -> None:
    say("hello world")
    look("hello world", subject_id=SUBJECTS[0], searcher_id=SUBJECTS[1])
    look("hello there", searcher_id=SUBJECTS[1])
    look("hello nobody", subject_id=uuid4())
    whose = DataKey.objects.in_bulk(
        Payload.objects.filter(field="search").values_list("data_key_id", flat=True)
    )
    assert {key.subject_id for key in whose.values()} == {*SUBJECTS[:2], None}
    gone, stays, tenants = Payload.objects.filter(field="search").order_by("id")
    destroy(TENANT, SUBJECTS[0])
    assert texts.decrypted(gone) is None
    destroy(TENANT, SUBJECTS[1])
    assert texts.decrypted(stays) is None
    opened = texts.decrypted(tenants)
    assert opened
    assert opened.text == "hello nobody"


@pytest.mark.parametrize("words", ["合同", "ガス", "계약", "a合"])
def test_two_characters_are_enough_where_words_have_two(words: str) -> None:
    request = say(f"请审阅这份{words}，谢谢")
    (hit,) = look(words).hits
    assert (hit.request_id, hit.words) == (request, words)
    with pytest.raises(ValidationError, match="2 are enough"):
        look("合")


def test_ten_an_hour_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(text_search.AN_HOUR):
        assert not look("hello world").refused
    assert text_search.remaining_this_hour(TENANT, "member:a") == 0
    assert look("hello world").refused
    assert [event.success for event in told()] == [True] * 10 + [False]
    assert not look("hello world", by="member:b").refused  # somebody else
    later = timezone.now() + timedelta(minutes=61)
    monkeypatch.setattr("django.utils.timezone.now", lambda: later)
    assert not look("hello world", since=later - timedelta(days=1), until=later).refused


def test_at_most_ten_thousand_texts_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "MOST_TEXTS", 3)
    for minute in range(5):
        say("same words", minutes_ago=minute + 1)
    found = look("same words")
    assert (len(found.hits), found.looked_at) == (3, 3)
    assert found.looked_back_to == found.hits[-1].at


def test_long_texts_are_opened_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "MOST_BYTES", 2_500_000)
    for minute in range(6):
        say("same words" + "x" * 1_000_000, minutes_ago=minute + 1)
    found = look("same words")
    assert (len(found.hits), found.looked_at) == (2, 2)
    assert found.looked_back_to == found.hits[-1].at
    monkeypatch.setattr(text_search, "MOST_BYTES", 1)  # one in any case
    assert look("same words").looked_at == 1


def test_long_texts_are_in_memory_a_few_at_a_time() -> None:
    for minute in range(40):
        say("same words" + "x" * 1_000_000, minutes_ago=minute + 1)
    tracemalloc.start()
    assert look("same words").looked_at == 40
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_a_slow_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for minute in range(3):
        say("same words", minutes_ago=minute + 1)
    monkeypatch.setattr(text_search, "MOST_S", -1.0)
    found = look("same words")
    assert (found.looked_at, len(found.hits)) == (1, 1)
    assert found.looked_back_to == found.hits[0].at


def test_of_who_was_erased_nothing_is_read() -> None:
    say("hello world", whose=(gone := uuid4()))
    DataKey.objects.filter(subject_id=gone).delete()
    for key in list(keyring._by_id) if hasattr(keyring, "_by_id") else []:
        keyring.forget(key)
    keyring.close()
    found = look("hello world")
    assert (found.hits, found.unreadable) == ([], 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"words": "ab"},
        {"words": "x" * 201},
        {"reason": " "},
        {"reason": "x" * 501},
        {"since": timezone.now() - timedelta(days=40)},
        {"since": timezone.now() + timedelta(days=1)},
    ],
)
def test_an_unbounded_search_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        look(wrong.pop("words", "hello world"), **wrong)


def test_reading_one_text_is_on_record() -> None:
    request = say("hello world")
    (seen,) = text_search.view(TENANT, request, by="member:a", reason="Complaint 12")
    assert seen.read
    assert seen.read.text == "hello world"
    (event,) = told("prompt:view")
    assert (event.subject_id, event.actor) == (SUBJECTS[0], "member:a")
    assert event.detail == {"request": str(request), "reason": "Complaint 12", "texts": 1}
    assert text_search.view(OTHER, request, by="member:a", reason="x") == []
    with pytest.raises(ValidationError):
        text_search.view(TENANT, request, by="member:a", reason="")


def test_without_its_record_there_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    request = say("hello world")

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(text_search, "act", fails)
    monkeypatch.setattr(Event, "save", fails)
    for reading in (
        lambda: text_search.view(TENANT, request, by="a", reason="x"),
        lambda: look("hello world"),
    ):
        with pytest.raises(RuntimeError), transaction.atomic():
            reading()


@pytest.mark.parametrize(
    ("filters", "tenant", "index"),
    [
        (Filters(acts=True), TENANT, "acts"),
        (Filters(acts=True), None, "all_acts"),
        (Filters(failed=True), TENANT, "failed"),
        (Filters(status=502), TENANT, "failed"),
        (Filters(net="192.0.2.0"), TENANT, "net_at"),
        (Filters(subject_id=SUBJECTS[0]), TENANT, "subject_at"),
        (Filters(api_key_id=KEYS[0]), None, "actor_at"),
        (Filters(), TENANT, "tenant_at"),
        (Filters(), None, "at"),
    ],
)
def test_each_filter_has_its_index(filters: Filters, tenant: UUID | None, index: str) -> None:
    """Under row security, as a page has it. Conditions of indexes are written twice."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off; set local enable_sort = off")
        sql, given, _ = statement(tenant, filters, None, 51, 100)
        with scope(tenant=str(tenant)) if tenant else nullcontext():
            cursor.execute(f"explain {sql}", given)
            plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute(
            "select indexrelid::regclass::text from pg_index where indrelid = any(%s::regclass[]) "
            "and pg_get_indexdef(indexrelid) like any(select regexp_replace(split_part("
            "pg_get_indexdef(%s::regclass), ' USING ', 2), '^', '%%USING '))",
            [parts(), f"audit_event_{index}"],
        )
        used = [name for (name,) in cursor.fetchall() if f" {name} " in plan]
    assert used, plan


def parts() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("select relid::text from pg_partition_tree('audit_event')")
        return [name for (name,) in cursor.fetchall()]
