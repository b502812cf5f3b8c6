"""Searches in PostgreSQL: without pgvector, and with the role of requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

import inference
from inference.knowledge import search_words, searching, storing, vectors
from inference.knowledge.base_keys import BaseSecrets
from inference.knowledge.reading.section import Section
from inference.models import Document, KnowledgeBase
from infrastructure.postgres.queries import rows, value
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.inference.knowledge.conftest import DIMENSIONS, vector_of
from tests.unguarded import administrator, as_requests, protected

pytestmark = pytest.mark.django_db(transaction=True)
PASSAGES = (Path(inference.__file__).parent / "sql" / "passages.sql").read_text()
INDEX = "select to_regclass('inference_passage_nearest_384') is not null"


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_without_pgvector_all_but_knowledge_bases_works(acme: Tenant) -> None:
    with protected():
        with administrator():
            run("drop extension vector cascade")
        run(PASSAGES)  # by a role that may not create it
        with pytest.raises(vectors.NoVectors, match="postgresql-17-pgvector"):
            vectors.check()
        with administrator():
            run(PASSAGES)
            vectors.check()
            assert value(INDEX)
            run(PASSAGES)  # a second time changes nothing


@pytest.fixture
def bases(acme: Tenant, globex: Tenant) -> dict[str, KnowledgeBase]:
    """A base of each tenant, with the same passages."""
    return {tenant.name: filled(tenant) for tenant in (acme, globex)}


def filled(tenant: Tenant) -> KnowledgeBase:
    base = KnowledgeBase.create(tenant, "manual", "mock", by="test")
    texts = [f"Part {n} of {tenant.name} is about topic{n}." for n in range(30)]
    passages = [Section([f"Part {n}"], "", text) for n, text in enumerate(texts)]
    row = {"form": "text", "state": "embedding", "passages": 30, "created_by": "t"}
    document = Document.objects.create(tenant=tenant, base=base, name="a", **row)
    storing.add(document, passages, [vector_of(text) for text in texts])
    storing.complete(document)
    return base


@contextmanager
def requests_of(tenant: Tenant) -> Iterator[None]:
    with protected(), as_requests(), tenant_scope(tenant.pk):
        yield


def test_a_request_searches_its_tenants_base_alone(
    acme: Tenant, globex: Tenant, bases: dict[str, KnowledgeBase]
) -> None:
    question = "What is topic7 about?"
    with requests_of(acme):
        best, *_others = searching.search_now(
            bases["acme"].pk, acme.pk, question, vector_of(question), 3
        )
        assert best.text == "Part 7 of acme is about topic7."
        theirs = bases["globex"].pk
        assert searching.search_now(theirs, acme.pk, question, vector_of(question)) == []
        assert value("select count(*) from inference_passage") == 30
        assert value("select count(distinct tenant_id) from inference_passageword") == 1


def test_a_request_finds_words_by_their_index_beside_row_security(
    acme: Tenant, bases: dict[str, KnowledgeBase]
) -> None:
    """An operator that may leak would have PostgreSQL read all rows first."""
    with requests_of(acme):
        run("set local enable_seqscan to off")
        statement = f"explain select from inference_passageword w where w.word = {word_of(bases)}"
        plan = "\n".join(line for (line,) in rows(statement))
    assert "passageword_word" in plan
    assert "Index Cond: (word" in plan


def word_of(bases: dict[str, KnowledgeBase]) -> int:
    secrets = BaseSecrets.of(bases["acme"])
    return secrets.word(next(iter(search_words.counted("topic7"))))


def test_a_model_of_another_length_is_told(acme: Tenant, bases: dict[str, KnowledgeBase]) -> None:
    row = {"form": "text", "state": "embedding", "passages": 1, "created_by": "t"}
    document = Document.objects.create(tenant=acme, base=bases["acme"], name="b", **row)
    with pytest.raises(storing.OtherLength):
        storing.add(document, [Section(["T"], "", "text")], [[1.0] * (DIMENSIONS + 1)])
    document.refresh_from_db()
    assert document.embedded == 0
