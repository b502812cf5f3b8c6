"""Files on their way to a message: attached, read, shown, removed, and given up."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from audit.retention import legal_hold
from inference.chat import conversations
from inference.chat.attachments import bounds, uploading
from inference.chat.attachments.bounds import Bound
from inference.chat.problems import ChatRefused
from inference.models import Attachment, AttachmentPiece
from tenants.models import Member, Tenant
from tenants.roles import Role
from tests.inference.chat.attachments.uploads import add_piece, attach, begin, sign_in
from tests.inference.chat.test_search import write
from tests.inference.text_extraction import documents
from tests.people import join

pytestmark = pytest.mark.django_db
NOTES = b"Meet at nine. " * 50_000  # two pieces


@pytest.fixture
def acme() -> Tenant:
    return Tenant.open("acme", by="test")


@pytest.fixture
def bob(acme: Tenant) -> Member:
    return join(acme, "bob@acme.example")


@pytest.fixture
def client(bob: Member) -> Client:
    return sign_in(bob)


def waiting(client: Client) -> list[str]:
    return [each["name"] for each in client.get("/chat/attachments/").json()]


def refusal(answer: Any) -> str:
    assert answer.status_code == 409
    return str(answer.json()["code"])


def test_a_file_is_read_and_waits_to_be_sent(client: Client) -> None:
    shown = attach(client, "notes of May.md", NOTES).json()
    assert (shown["name"], shown["kind"], shown["size"]) == ("notes of May.md", "text", len(NOTES))
    assert shown["tokens"] == len(NOTES.rstrip()) // 4 + 1
    assert waiting(client) == ["notes of May.md"]
    content = client.get(shown["url"])
    assert content.content == NOTES
    assert content["Content-Type"] == "text/plain; charset=utf-8"
    assert content["X-Content-Type-Options"] == "nosniff"


def test_nothing_of_a_file_is_stored_in_the_clear(client: Client) -> None:
    name, text = "merger plan.txt", b"the merger closes in May"
    attach(client, name, text)
    begun = begin(client, name, len(text)).json()
    add_piece(client, f"/chat/attachments/{begun['id']}/", 0, text)
    rows = list(Attachment.objects.all()) + list(AttachmentPiece.objects.all())
    stored = b"".join(
        bytes(getattr(row, field.attname) or b"")
        for row in rows
        for field in row._meta.fields
        if field.get_internal_type() == "BinaryField"
    )
    assert len(rows) == 3  # the pieces of a file that was read are gone
    assert b"merger" not in stored


def test_an_image_is_shown_as_a_model_gets_it(client: Client) -> None:
    shown = attach(client, "holiday.webp", documents.image("WEBP")).json()
    content = client.get(shown["url"])
    assert (shown["kind"], content["Content-Type"]) == ("image", "image/jpeg")
    assert content.content.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("name", "content", "code", "says"),
    [
        ("a.xlsx", b"PK", "office_type", "a table as CSV"),
        ("a.exe", b"MZ", "wrong_type", "DOCX, PNG, JPEG and WebP can"),
        ("a.txt", b"", "empty", "is empty"),
        ("scan.pdf", documents.pdf(""), "no_text", "text recognition (OCR)"),
        ("a.pdf", documents.encrypted_pdf("x", "pw"), "encrypted", "Save a copy without one"),
    ],
)
def test_a_refusal_says_what_to_do_and_leaves_nothing(
    client: Client, name: str, content: bytes, code: str, says: str
) -> None:
    answer = attach(client, name, content)
    assert refusal(answer) == code
    assert name in answer.json()["text"]
    assert says in answer.json()["text"]
    assert not Attachment.objects.exists()


def test_a_huge_file_is_refused_before_it_is_sent(client: Client) -> None:
    answer = begin(client, "film.txt", 100_000_000)
    assert refusal(answer) == "too_large"
    assert "has 100 MB; a file may have 20 MB at most" in answer.json()["text"]


def test_more_bytes_than_were_announced_are_refused(client: Client) -> None:
    address = f"/chat/attachments/{begin(client, 'a.txt', 3).json()['id']}/"
    assert refusal(add_piece(client, address, 0, b"abcd")) == "invalid_message"
    assert add_piece(client, address, 0, b"ab").status_code == 204
    assert refusal(client.post(f"{address}end/")) == "invalid_message"  # a byte is missing


def test_pieces_come_in_order_and_may_be_repeated(client: Client) -> None:
    address = f"/chat/attachments/{begin(client, 'a.txt', 4).json()['id']}/"
    assert add_piece(client, address, 0, b"ab").status_code == 204
    assert add_piece(client, address, 0, b"ab").status_code == 204
    assert add_piece(client, address, 2, b"cd").json() == {"next": 1}
    assert add_piece(client, address, 1, b"cd").status_code == 204
    shown = client.post(f"{address}end/").json()
    assert client.post(f"{address}end/").json() == shown
    assert client.get(shown["url"]).content == b"abcd"


def test_a_person_has_so_many_files_that_are_not_sent(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_PERSON", Bound(2, 100))
    assert refusal(begin(client, "a.txt", 101)) == "person_full"
    for _ in range(2):
        assert begin(client, "a.txt", 1).status_code == 201
    assert refusal(begin(client, "a.txt", 1)) == "person_full"


def test_a_tenant_has_so_many_files_that_are_not_sent(
    acme: Tenant, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "OF_TENANT", Bound(9, 10))
    other = sign_in(join(acme, "alice@acme.example"))
    assert begin(other, "a.txt", 8).status_code == 201
    assert refusal(begin(client, "a.txt", 3)) == "tenant_full"
    assert begin(client, "a.txt", 2).status_code == 201


@pytest.mark.parametrize("role", [Role.OWNER, Role.MEMBER])
def test_another_persons_file_is_404(acme: Tenant, client: Client, role: Role) -> None:
    url = attach(client, "mine.txt", b"mine").json()["url"]
    globex = Tenant.open("globex", by="test")
    strangers = [join(acme, "alice@acme.example", role), join(globex, "charlie@globex.example")]
    for stranger in map(sign_in, strangers):
        for address in (url, f"/chat/attachments/{uuid4()}/"):
            assert stranger.get(address).status_code == 404
            assert add_piece(stranger, address, 0, b"x").status_code == 404
            for act in ("end/", "removal/"):
                assert stranger.post(address + act).status_code == 404
        assert waiting(stranger) == []
    assert waiting(client) == ["mine.txt"]


def test_scripts_are_told_that_the_session_is_over(client: Client) -> None:
    url = attach(client, "mine.txt", b"mine").json()["url"]
    assert Client().get(url).status_code == 401
    assert Client().post("/chat/attachments/", {"name": "a.txt", "size": 1}).status_code == 401


def test_a_file_is_removed(client: Client) -> None:
    url = attach(client, "mine.txt", b"mine").json()["url"]
    assert client.post(f"{url}removal/").status_code == 204
    assert client.get(url).status_code == 404
    assert not Attachment.objects.exists()


def test_a_file_that_nobody_sends_is_deleted_unless_a_hold_keeps_it(
    acme: Tenant, bob: Member, client: Client
) -> None:
    alice = join(acme, "alice@acme.example")
    for person in (client, sign_in(alice)):
        attach(person, "old.txt", b"old")
    old = timezone.now() - bounds.UNSENT_FOR
    Attachment.objects.update(created_at=old - timedelta(seconds=1))
    attach(client, "new.txt", b"new")
    ends = timezone.now() + timedelta(days=9)
    held_person = alice.subject_id
    legal_hold.request(acme.pk, by="user:8", reason="c", expires_at=ends, subject_id=held_person)
    uploading.delete_abandoned()
    assert waiting(client) == ["new.txt"]
    held = Attachment.objects.get(member=alice)
    answer = sign_in(alice).post(f"/chat/attachments/{held.id}/removal/")
    assert refusal(answer) == "file_on_hold"


@pytest.fixture
def sent_meanwhile(bob: Member, client: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that another page sends while a deletion looks for holds. Returns its address."""
    url: str = attach(client, "plan.txt", b"plan").json()["url"]
    question = write(conversations.start(bob, "mock", "x"), "x")
    holding = legal_hold.holding

    def sending(*at: Any) -> Any:
        Attachment.objects.update(message=question)
        return holding(*at)

    monkeypatch.setattr(legal_hold, "holding", sending)
    return url


def test_a_file_that_is_sent_meanwhile_is_not_abandoned(
    client: Client, sent_meanwhile: str
) -> None:
    Attachment.objects.update(created_at=timezone.now() - 2 * bounds.UNSENT_FOR)
    uploading.delete_abandoned()
    assert client.get(sent_meanwhile).content == b"plan"


def test_a_file_that_is_sent_meanwhile_is_not_removed(client: Client, sent_meanwhile: str) -> None:
    assert client.post(f"{sent_meanwhile}removal/").status_code == 404
    assert client.get(sent_meanwhile).content == b"plan"


def test_a_file_that_another_request_has_read_is_not_discarded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pages end the same upload; the second finds the host too busy to read it."""
    begun = begin(client, "plan.txt", 4).json()
    url = f"/chat/attachments/{begun['id']}/"
    add_piece(client, url, 0, b"plan")
    read = uploading.read

    def twice(content: bytes, kind: str, name: str) -> Any:
        monkeypatch.setattr(uploading, "read", read)
        assert client.post(f"{url}end/").status_code == 200
        raise ChatRefused("too_demanding")

    monkeypatch.setattr(uploading, "read", twice)
    assert refusal(client.post(f"{url}end/")) == "too_demanding"
    assert client.get(url).content == b"plan"


def test_the_bound_of_a_file_is_the_operators(client: Client, settings: Settings) -> None:
    settings.ATTACHMENT_BYTES = 3_500_000
    assert "3.5 MB at most" in begin(client, "a.txt", 3_500_001).json()["text"]
