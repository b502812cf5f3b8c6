"""Knowledge bases through the management API."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from console.api.knowledge import bases as view
from inference.errors import LimitReached
from inference.knowledge import creating, vectors
from inference.knowledge.searching import Cited
from inference.models import Document, KnowledgeBase
from tenants.models import Scope, Tenant
from tests.console.api.conftest import Api, Enter

pytestmark = pytest.mark.django_db(transaction=True)
BASES = "tenants/acme/knowledge-bases/"
RETURNS = "# Returns\nWithin thirty days.\n"


@pytest.fixture
def api(acme: Tenant, with_key: Enter, settings: Settings) -> Api:
    settings.ENGINES = {
        "mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1"},
        "chats": {
            "kind": "openai",
            "url": "http://127.0.0.1:9/v1",
            "capabilities": {"embeddings": False},
        },
    }
    return with_key(acme)


@pytest.fixture
def base(api: Api) -> str:
    answer = api.post(BASES, name="manual", model="mock")
    assert answer.status_code == 201, answer.content
    return f"{BASES}{answer.json()['id']}/"


def test_a_base_is_created_listed_and_deleted(api: Api, base: str, acme: Tenant) -> None:
    assert api.get(base).json()["model"] == "mock"
    assert api.post(BASES, name="manual", model="mock").status_code == 409
    assert [one["name"] for one in api.get(BASES, name="manual").json()["results"]] == ["manual"]
    assert api.delete(base).status_code == 204
    assert api.get(base).status_code == 404
    assert api.post(BASES, name="manual", model="mock").status_code == 201, "the name is free"
    acts = Event.objects.filter(tenant_id=acme.pk, action__startswith="knowledge:").order_by("id")
    assert [event.action for event in acts] == [
        "knowledge:create",
        "knowledge:delete",
        "knowledge:create",
    ]


@pytest.mark.parametrize("model", ["missing", "chats"])
def test_a_base_needs_a_model_that_embeds(api: Api, model: str) -> None:
    answer = api.post(BASES, name="manual", model=model)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["model"])


def test_without_pgvector_the_answer_says_what_to_install(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "value", lambda _statement: False)
    answer = api.post(BASES, name="manual", model="mock")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:forebay:problem:no_pgvector")
    assert "postgresql-17-pgvector" in answer.json()["detail"]


def test_a_document_is_uploaded_whole_or_in_pieces(api: Api, base: str) -> None:
    documents = f"{base}documents/"
    whole = api.post(documents, name="returns.md", content=RETURNS).json()
    assert (whole["format"], whole["state"], whole["bytes"]) == ("markdown", "waiting", 30)
    begun = api.post(documents, name="terms", format="text", url="https://a.example/t").json()
    place = f"{documents}{begun['id']}/"
    for number, part in enumerate((b"one ", b"two")):
        content = base64.b64encode(part).decode()
        answer = api.post(f"{place}pieces/", number=number, content=content)
        assert answer.status_code == 200, answer.content
    assert api.post(f"{place}pieces/", number=5, content="eA==").status_code == 400
    assert api.post(f"{place}finish/").json()["state"] == "waiting"
    assert api.post(f"{place}finish/").status_code == 409
    copy = api.post(f"{place}content/")
    assert (copy.content, copy.headers["Content-Type"]) == (b"one two", "application/octet-stream")
    names = [one["name"] for one in api.get(documents).json()["results"]]
    assert names == ["terms", "returns.md"]
    assert api.delete(place).status_code == 204
    assert api.get(place).status_code == 404


def test_what_cannot_be_uploaded_is_refused(api: Api, base: str, settings: Settings) -> None:
    documents = f"{base}documents/"
    assert api.post(documents, name="a.md", content=RETURNS).status_code == 201
    same = api.post(documents, name="b.md", content=RETURNS)
    assert (same.status_code, same.json()["type"][-9:]) == (409, "duplicate")
    assert "a.md" in same.json()["detail"]
    unknown = api.post(documents, name="b.pdf", content="x")
    assert list(unknown.json()["errors"]) == ["format"]
    assert list(api.post(documents, name="b.md", url="x", content="y").json()["errors"]) == ["url"]
    assert api.post(documents, name="b.md", content="").status_code == 400
    settings.KNOWLEDGE_DOCUMENT_BYTES = 10
    assert api.post(documents, name="b.md", content="x" * 11).status_code == 413
    settings.KNOWLEDGE_DOCUMENT_BYTES, settings.KNOWLEDGE_BASE_BYTES = 100, 35
    full = api.post(documents, name="b.md", content="x" * 11)
    assert (full.status_code, full.json()["type"][-9:]) == (409, "base_full")
    assert Document.objects.present().count() == 1


def test_a_key_that_may_not_ask_models_uploads_and_searches_nothing(
    api: Api, base: str, acme: Tenant, with_key: Enter
) -> None:
    key = with_key(acme, [Scope.MANAGEMENT_READ, Scope.MANAGEMENT_WRITE])
    for path, body in ((f"{base}documents/", {"name": "a.md"}), (f"{base}search/", {})):
        answer = key.post(path, **body, **({} if body else {"question": "x"}))
        assert answer.status_code == 403, answer.content
        assert "inference" in answer.json()["detail"]


def test_a_search_answers_passages_and_is_on_record(
    api: Api, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "ask_from_thread", answering)
    answer = api.post(f"{base}search/", question="how long?", most=2)
    assert answer.status_code == 200, answer.content
    (passage,) = answer.json()["passages"]
    assert passage["titles"] == ["Returns"]
    assert passage["text"] == "how long? 2"
    event = Event.objects.get(action="knowledge:read")
    assert event.detail["passages"] == [7]


def answering(_context: Any, _who: Any, base: KnowledgeBase, text: str, most: int, _ip: str) -> Any:
    cited = Cited(7, base.pk, "a.md", ["Returns"], "", f"{text} {most}", 1.0, 0.5, 0.5)
    return [cited]


def test_a_search_refused_by_a_limit_says_so(
    api: Api, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "ask_from_thread", refusing(LimitReached("used up", code="rate")))
    answer = api.post(f"{base}search/", question="how long?")
    assert (answer.status_code, answer.json()["detail"]) == (429, "used up")


def refusing(problem: Exception) -> Callable[..., Any]:
    def refuse(*_arguments: Any) -> Any:
        raise problem

    return refuse


def test_another_tenants_base_is_not_there(api: Api, globex: Tenant) -> None:
    theirs = creating.create(globex, "theirs", "mock", by="test")
    assert api.get(f"{BASES}{theirs.pk}/").status_code == 404
    assert api.get(f"{BASES}{theirs.pk}/documents/").status_code == 404
    assert api.post(f"{BASES}{theirs.pk}/search/", question="x").status_code == 404
