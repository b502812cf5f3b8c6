"""People who are no members, on pages and in the API: found, erased, held, exported."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from audit.erasure import execution, tombstones
from audit.exports import portability
from audit.models import DeletionRequest, DeletionState, Event, Export, LegalHold
from inference.personal_data import erasure
from tenants.models import Member, Person, Tenant
from tenants.roles import Role
from tests.console.api.conftest import Api
from tests.console.conftest import SignIn, join

pytestmark = pytest.mark.django_db
REFERENCE = "customer 4711"
PEOPLE = "/console/t/acme/people/"
T = "tenants/acme/"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(execution, "QUIET", timedelta(0))
    monkeypatch.setattr(erasure, "WATCH_S", 0)
    tombstones.path().unlink(missing_ok=True)
    yield
    tombstones.path().unlink(missing_ok=True)


@pytest.fixture
def person(acme: Tenant) -> Person:
    return Person.objects.of(acme.id, REFERENCE)


@pytest.fixture
def api(alice: Member, sign_in: SignIn) -> Api:
    return Api(sign_in(alice))


@pytest.fixture
def rita(acme: Tenant) -> Member:
    return join(acme, "rita@acme.example", Role.REVIEWER)


def test_a_reviewer_starts_where_they_may_look(rita: Member, sign_in: SignIn) -> None:
    client = sign_in(rita)
    assert client.get("/", follow=True).status_code == 200
    assert client.get(PEOPLE).status_code == 200
    assert client.get("/console/t/acme/").status_code == 403


def test_a_person_is_found_by_reference_and_the_record_has_none(
    person: Person, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    answer = client.post(PEOPLE, {"reference": REFERENCE})
    assert answer.headers["Location"] == f"{PEOPLE}{person.pk}/"
    event = Event.objects.get(action="person:find")
    assert (event.subject_id, event.actor) == (person.pk, alice.actor)
    assert REFERENCE not in json.dumps(event.detail)
    unknown = client.post(PEOPLE, {"reference": "customer 1"}).content.decode()
    assert "Nobody is known by this reference" in unknown
    assert str(person.pk) in client.get(f"{PEOPLE}{person.pk}/").content.decode()


def test_another_tenants_person_does_not_exist(
    person: Person, charlie: Member, sign_in: SignIn
) -> None:
    page = f"/console/t/globex/people/{person.pk}/"
    assert sign_in(charlie).get(page).status_code == 404


def test_their_data_is_erased_from_their_page(
    person: Person, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    client.post(f"{PEOPLE}{person.pk}/deletion/", {"mode": "erase", "reason": "asked by letter"})
    execution.work()
    request = DeletionRequest.objects.get()
    assert (request.subject_id, request.state) == (person.pk, DeletionState.DONE)
    assert client.get(f"{PEOPLE}{person.pk}/").status_code == 404


def test_the_pages_of_deletions_and_holds_take_a_reference(
    person: Person, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    prefilled = client.get(f"/console/t/acme/holds/?subject={person.pk}").content.decode()
    assert f'value="{person.pk}"' in prefilled
    expires = (timezone.now() + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M")
    client.post(
        "/console/t/acme/holds/",
        {"reason": "a case", "subject": REFERENCE, "expires_at": expires},
    )
    assert LegalHold.objects.get().subject_id == person.pk
    whose = {"whose": REFERENCE, "mode": "erase"}
    refused = client.post("/console/t/acme/deletions/", {**whose, "removes": "on"})
    assert "They are no member" in refused.content.decode()
    client.post("/console/t/acme/deletions/", {**whose, "confirmed": str(person.subject_id)})
    assert DeletionRequest.objects.get().subject_id == person.pk


def test_their_data_is_exported_by_those_who_may_read_texts(
    person: Person, alice: Member, erin: Member, sign_in: SignIn
) -> None:
    page = f"{PEOPLE}{person.pk}/export/"
    assert sign_in(erin).post(page).status_code == 403
    client = sign_in(alice)
    assert client.post(page).status_code == 302
    portability.work()
    export = Export.objects.get()
    answer: Any = client.post(f"{page}{export.pk}/")

    async def body() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    archive = zipfile.ZipFile(io.BytesIO(async_to_sync(body)()))
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["subject"] == str(person.pk)
    assert Event.objects.filter(action="subject:export", subject_id=person.pk).count() == 2


def test_programs_ask_by_reference(person: Person, api: Api) -> None:
    found = api.post(f"{T}people/find/", reference=REFERENCE)
    assert found.json()["id"] == str(person.pk)
    assert api.post(f"{T}people/find/", reference="customer 1").status_code == 404
    wrong = api.post(f"{T}people/find/", reference="two\nlines")
    assert wrong.status_code == 400
    request = api.post(f"{T}deletion-requests/", person=REFERENCE, mode="restrict")
    assert request.json()["subject"] == str(person.pk)
    assert api.post(f"{T}deletion-requests/", person="x", mode="erase").status_code == 404
    expires_at = (timezone.now() + timedelta(days=30)).isoformat()
    held = api.post(f"{T}holds/", person=REFERENCE, reason="a case", expires_at=expires_at)
    assert held.json()["subject"] == str(person.pk)
    both = {"person": REFERENCE, "subject": str(person.pk)}
    twice = api.post(f"{T}holds/", **both, reason="a case", expires_at=expires_at)
    assert "not both" in twice.content.decode()
    removes = api.post(f"{T}deletion-requests/", person=REFERENCE, mode="erase", removes=True)
    assert removes.status_code == 400


def test_an_export_is_asked_for_polled_and_downloaded(person: Person, api: Api) -> None:
    exports = f"{T}people/{person.pk}/exports/"
    made = api.post(exports).json()
    portability.work()
    row = api.get(f"{exports}{made['id']}/").json()
    assert (row["state"], api.get(exports).json()["results"][0]["id"]) == ("ready", made["id"])
    answer = api.get(f"{exports}{made['id']}/file/")
    assert answer.headers["Content-Type"] == "application/zip"
    assert api.get(f"{T}people/{Person().pk}/exports/").status_code == 404
