"""Documents of a knowledge base: uploaded, embedded in the background, found, replaced, deleted."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.db import connection
from pytest_django.fixtures import Settings

from audit.keys.keyring import Unreadable
from inference.api.deferred import Wait
from inference.api.knowledge import reading
from inference.api.knowledge.questions import ask_from_thread
from inference.errors import ApiError, Unavailable
from inference.knowledge import creating, deleting, uploading
from inference.knowledge.storage_limit import BaseFull, StorageFull, TooLarge
from inference.models import (
    Document,
    DocumentPiece,
    KnowledgeBase,
    Passage,
    PassageWord,
)
from tenants.models import ApiKey, Quota
from tests.inference.knowledge.conftest import Library, answer_to, drive, purge
from tests.inference.web import current

pytestmark = pytest.mark.django_db(transaction=True)
in_database = database_sync_to_async

RETURNS = """# Returns
Send goods back within thirty days of delivery.

## Fees
Returning is free; express parcels cost five euros.
"""
PASSWORDS = "# Accounts\n\n## Reset\nA forgotten password is reset by a link in a message.\n"
CHINESE = "# 退货\n收到商品后三十天内可以退货。\n\n## 密码\n忘记密码时，用邮件里的链接重置。\n"


async def test_passages_are_found_with_their_source(library: Library) -> None:
    document = await library.add("returns.md", RETURNS)
    await library.add("accounts.md", PASSWORDS)
    assert (document.state, document.passages, document.embedded) == ("ready", 2, 2)
    best, *_others = await library.search("What does an express parcel cost?")
    assert best.titles == ["Returns", "Fees"]
    assert best.title == "Returns › Fees"
    assert best.text == "Returning is free; express parcels cost five euros."
    assert (best.document, best.name, best.url) == (document.pk, "returns.md", "")
    assert 0 < best.shared <= 1
    best, *_others = await library.search("forgotten passwords")
    assert best.titles == ["Accounts", "Reset"]


async def test_chinese_is_found_by_its_characters(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    await library.add("退货.md", CHINESE)
    best, *_others = await library.search("密码忘记了怎么办？")
    assert best.titles == ["退货", "密码"]
    best, *_others = await library.search("收到商品后几天内可以退？")
    assert best.titles == ["退货"]


async def test_a_page_asks_from_its_thread_as_a_request_of_its_reader(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    ask = partial(ask_from_thread, current(), library.key, library.base, "express parcels", 1)
    loop = asyncio.get_running_loop()
    (best,) = await loop.run_in_executor(None, ask)
    assert best.titles == ["Returns", "Fees"]
    usages = await library.house.usages()
    assert len(usages) == 2, "the document's, and the question's"
    house = library.house
    one = partial(Quota.set, unit="requests", window="day", limit=1, by="test")
    await in_database(one)(house.tenant)
    with pytest.raises(ApiError):
        for _ in range(3):
            await loop.run_in_executor(None, ask)


def test_without_a_process_for_requests_a_question_says_so() -> None:
    with pytest.raises(Unavailable):
        ask_from_thread(None, ApiKey(), KnowledgeBase(), "question")


async def test_the_source_has_the_address_and_the_anchor(library: Library) -> None:
    document = await library.upload("returns.md", RETURNS, url="https://shop.example/returns")
    await library.read(document)
    (best,) = await library.search("fees of express parcels", most=1)
    assert best.url == "https://shop.example/returns#fees"


async def test_a_search_without_a_shared_word_goes_by_vectors(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    assert len(await library.search("zebra")) == 2
    assert await library.search("") != []


async def test_the_database_has_neither_texts_nor_words_nor_the_models_vectors(
    library: Library,
) -> None:
    await library.add("returns.md", RETURNS)

    def stored() -> str:
        tables = ("passage", "passageword", "documentpiece", "document", "knowledgebase")
        rows = []
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"select row_to_json(t)::text from inference_{table} t")
                rows += [row for (row,) in cursor.fetchall()]
        return "\n".join(rows)

    dump = (await in_database(stored)()).lower()
    assert "returns.md" in dump
    clear = ["thirty", "express", "parcel", "fees"]
    assert [word for word in clear if word in dump or word.encode().hex() in dump] == []


async def test_embedding_goes_on_where_it_stopped(library: Library) -> None:
    """A process that dies after a commit leaves a lease; another one embeds what is left."""
    sections = [f"## Part {n}\nText number {n} of the manual.\n" for n in range(200)]
    document = await library.upload("long.md", "# Manual\n" + "\n".join(sections))
    library.engine.answer = dying_after(library, 100)
    await drive()
    await in_database(document.refresh_from_db)()
    assert (document.state, document.embedded, document.passages) == ("embedding", 64, 200)
    before = len(library.embedded)
    library.engine.answer, library.engine.status = answer_to, 200
    await in_database(Document.objects.filter(pk=document.pk).update)(
        leased_until=None, due_at=document.created_at
    )
    await library.read(document)
    assert (document.state, document.embedded) == ("ready", 200)
    again = library.embedded[before:]
    assert len(set(again)) == len(again) == 200 - 64
    count = await in_database(Passage.objects.filter(document=document).count)()
    assert count == 200


def dying_after(library: Library, texts: int) -> Callable[[dict[str, Any]], Any]:
    def answer(body: dict[str, Any]) -> Any:
        if len(library.embedded) <= texts:
            return answer_to(body)
        library.engine.status = 500
        return b"down"

    return answer


async def test_waiting_for_a_limit_is_no_attempt(library: Library) -> None:
    document = await library.upload("limits.md", "Some text.")

    async def full(*_arguments: Any) -> list[list[float]]:
        raise Wait(0, is_limit=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_embedded", full)
        for _wait in range(reading.ATTEMPTS + 2):
            await drive()
            await in_database(Document.objects.update)(due_at=document.created_at)
    await in_database(document.refresh_from_db)()
    assert (document.is_moving, document.attempts) == (True, 0)
    assert (await library.read(document)).state == "ready"


async def test_a_new_upload_takes_the_place_of_the_earlier_one(library: Library) -> None:
    first = await library.add("returns.md", RETURNS)
    second = await library.upload("returns.md", RETURNS.replace("five", "seven"))
    (best,) = await library.search("fees of express parcels", most=1)
    assert "five" in best.text, "the earlier one answers until the new one is ready"
    await library.read(second)
    best, *others = await library.search("fees of express parcels", most=50)
    assert "seven" in best.text
    assert "five" not in str(others)
    assert await library.names() == ["returns.md"]
    await purge()
    assert not await in_database(Document.objects.filter(pk=first.pk).exists)()
    assert await in_database(Passage.objects.count)() == 2


async def test_an_upload_that_is_read_more_slowly_does_not_replace_a_later_one(
    library: Library,
) -> None:
    first = await library.upload("returns.md", RETURNS)
    second = await library.upload("returns.md", RETURNS.replace("five", "seven"))
    later = first.created_at + timedelta(hours=1)
    await in_database(Document.objects.filter(pk=first.pk).update)(due_at=later)  # for a limit
    await library.read(second)
    await in_database(Document.objects.filter(pk=first.pk).update)(due_at=first.created_at)
    await drive()
    best, *others = await library.search("fees of express parcels", most=50)
    assert "seven" in best.text
    assert "five" not in str(others)


async def test_a_failed_upload_leaves_the_earlier_one(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    failed = await library.add("returns.md", b"\xff\xfe\x00")
    assert (failed.state, failed.problem) == ("failed", "encoding")
    assert len(await library.search("express parcels")) == 2


async def test_the_same_content_is_not_embedded_twice(library: Library) -> None:
    first = await library.add("returns.md", RETURNS)
    before = len(library.embedded)
    assert (await library.upload("returns.md", RETURNS)).pk == first.pk
    with pytest.raises(uploading.Duplicate) as duplicate:
        await library.upload("copy.md", RETURNS)
    assert duplicate.value.name == "returns.md"
    assert await library.names() == ["returns.md"]
    assert len(library.embedded) == before


async def test_a_deleted_document_is_found_no_more(library: Library) -> None:
    document = await library.add("returns.md", RETURNS)
    other = await library.add("accounts.md", PASSWORDS)
    await in_database(deleting.remove)(document, by="test")
    results = await library.search("express parcels", most=50)
    assert {result.name for result in results} == {"accounts.md"}
    with pytest.raises(Unreadable):
        await in_database(uploading.content)(document)
    assert await in_database(uploading.content)(other) == PASSWORDS.encode()
    await purge()
    for model in (Passage, DocumentPiece):
        assert await in_database(model.objects.exclude(document=other).count)() == 0
    await in_database(library.base.refresh_from_db)()
    assert library.base.stored_bytes == len(PASSWORDS)


async def test_a_deleted_base_leaves_nothing(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    await in_database(deleting.delete)(library.base, by="test")
    assert await library.search("express parcels") == []
    with pytest.raises(Unreadable):
        await in_database(lambda: library.base.clear_secret)()
    await purge()
    for model in (KnowledgeBase, Document, DocumentPiece, Passage, PassageWord):
        assert await in_database(model.objects.count)() == 0


async def test_a_base_sees_nothing_of_another(library: Library) -> None:
    await library.add("returns.md", RETURNS)
    other = await in_database(creating.create)(library.house.tenant, "other", "vectors", by="test")
    theirs = Library(library.house, other, library.key)
    await theirs.add("accounts.md", PASSWORDS)
    results = await theirs.search("express parcels of returns", most=50)
    assert {result.name for result in results} == {"accounts.md"}
    words = await in_database(lambda: list(PassageWord.objects.values_list("word", flat=True)))()
    assert len(set(words)) > 10


async def test_limits_refuse_what_is_too_much(library: Library, settings: Settings) -> None:
    settings.KNOWLEDGE_DOCUMENT_BYTES, settings.KNOWLEDGE_BASE_BYTES = 200, 300
    settings.KNOWLEDGE_BYTES = 250
    with pytest.raises(TooLarge):
        await library.upload("a.md", "x" * 201)
    await library.upload("a.md", "x" * 190)
    with pytest.raises(StorageFull):
        await library.upload("b.md", "y" * 100)
    with pytest.raises(BaseFull):
        await library.upload("b.md", "y" * 150)
    assert await library.names() == ["a.md"]
    await in_database(library.base.refresh_from_db)()
    assert library.base.stored_bytes == 190
