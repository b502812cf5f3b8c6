"""The console's pages of knowledge bases."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django.fixtures import Settings

from console.knowledge import pages
from inference.knowledge.searching import Cited
from inference.models import Document, KnowledgeBase
from tenants.models import Member, Tenant
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)
PLACE = "/console/t/acme/knowledge/"


@pytest.fixture
def client(alice: Member, sign_in: SignIn, settings: Settings) -> Any:
    settings.ENGINES = {"mock": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}
    return sign_in(alice)


@pytest.fixture
def base(client: Any, acme: Tenant) -> str:
    answer = client.post(f"{PLACE}addition/", {"name": "manual", "model": "mock"})
    assert answer.status_code == 302, answer.content
    return str(answer.headers["Location"])


def a_file(content: bytes, name: str = "returns.md") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_base_is_created_and_deleted(client: Any, base: str) -> None:
    assert "manual" in client.get(PLACE).content.decode()
    again = client.post(f"{PLACE}addition/", {"name": "manual", "model": "mock"})
    assert "This name is taken." in again.content.decode()
    answer = client.post(f"{base}deletion/", follow=True)
    assert "The knowledge base manual is gone." in answer.content.decode()
    assert client.get(base).status_code == 404


def test_a_small_file_is_uploaded_with_the_form(client: Any, base: str) -> None:
    sent = {"file": a_file(b"# Returns\nSoon."), "url": "https://a.example/returns"}
    assert client.post(f"{base}upload/", sent).status_code == 302
    document = Document.objects.get()
    assert (document.name, document.form, document.state) == ("returns.md", "markdown", "waiting")
    page = client.get(base).content.decode()
    assert "returns.md" in page
    assert "Waiting" in page


def test_a_large_file_comes_in_pieces(client: Any, base: str) -> None:
    begun = client.post(f"{base}uploads/", {"file_name": "long.bin"}).json()
    for number in range(2):
        piece = {"piece": number, "file": a_file(b"x" * 10)}
        assert client.post(begun["pieces"], piece).status_code == 204
    wrong = client.post(begun["pieces"], {"piece": 7, "file": a_file(b"x")})
    assert (wrong.status_code, wrong.json()) == (409, {"next": 2})
    unknown = client.post(f"{base}upload/", {"upload": begun["upload"]})
    assert "Say the format" in unknown.content.decode()
    sent = {"upload": begun["upload"], "form": "text"}
    assert client.post(f"{base}upload/", sent).status_code == 302
    document = Document.objects.get()
    assert (document.form, document.size, document.state) == ("text", 20, "waiting")


def test_a_name_has_no_nul(client: Any, base: str) -> None:
    begun = client.post(f"{base}uploads/", {"file_name": "one\0two.md"})
    assert begun.status_code == 200
    assert Document.objects.get().name == "onetwo.md"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({}, "Choose a file."),
        ({"file": a_file(b"x", "a.pdf")}, "Say the format"),
        ({"file": a_file(b"x"), "url": "nowhere"}, "Enter a valid URL."),
        ({"file": a_file(b"x" * 700_001)}, "Without JavaScript a file has at most 700 kB."),
    ],
)
def test_a_wrong_upload_is_told_why(client: Any, base: str, sent: Any, text: str) -> None:
    assert text in client.post(f"{base}upload/", sent).content.decode()
    assert not Document.objects.exists()


def test_a_document_is_deleted(client: Any, base: str) -> None:
    client.post(f"{base}upload/", {"file": a_file(b"# A\nb")})
    document = Document.objects.get()
    answer = client.post(f"{base}documents/{document.pk}/removal/", follow=True)
    assert "The document returns.md is gone." in answer.content.decode()


def test_a_failure_is_said_in_words(client: Any, base: str) -> None:
    client.post(f"{base}upload/", {"file": a_file(b"# A\nb")})
    Document.objects.update(state="failed", problem="encoding")
    assert "save it as UTF-8" in client.get(base).content.decode()


def test_a_question_shows_passages_with_their_source(
    client: Any, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answering(_c: Any, who: Member, row: KnowledgeBase, text: str, *_more: Any) -> Any:
        titles, url = ["Returns", "<Fees>"], "https://a.example/r#fees"
        return [Cited(1, row.pk, "returns.md", titles, url, "Five euros.", 3.0, 0.71, 0.5)]

    monkeypatch.setattr(pages, "ask_from_thread", answering)
    page = client.post(f"{base}question/", {"question": "fees?"}).content.decode()
    assert "Returns › &lt;Fees&gt;" in page
    assert "https://a.example/r#fees" in page
    assert "likeness 0.71" in page


def test_a_question_that_fails_says_why(client: Any, base: str) -> None:
    page = client.post(f"{base}question/", {"question": "fees?"}).content.decode()
    assert "takes no requests for models" in page
