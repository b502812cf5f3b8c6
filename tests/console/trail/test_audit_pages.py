"""The audit trail's pages: events and their proof, texts with a reason, files, days and holds."""

import io
import re
import subprocess
import sys
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.checks import verified_export
from audit.exports import export_file, trail_export
from audit.keys.keyring import keyring
from audit.models import Event, Export, LegalHold, Payload
from audit.proof import seal
from audit.retention import legal_hold
from audit.search import texts
from audit.search.events import Filters
from audit.trail.record import act
from tenants.models import Member, Tenant, User
from tenants.roles import Role
from tests.console.conftest import SignIn, join, prove

ACME = "/console/t/acme/"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FOREBAY_HOME = tmp_path
    monkeypatch.setattr(export_file, "wake", lambda task: None)


@pytest.fixture
def client(carol: Member, sign_in: SignIn) -> Client:
    return sign_in(carol)


@pytest.fixture
def second(acme: Tenant) -> Member:
    """Another auditor."""
    return join(acme, "frank@acme.example", Role.AUDITOR)


def event(tenant: Tenant, **given: Any) -> Event:
    fields: dict[str, Any] = {
        "at": timezone.now(),
        "action": "completion:completed",
        "actor": "key:x",
        "tenant_id": tenant.id,
        "request_id": uuid4(),
    }
    return Event.objects.create(**{**fields, **given})


def said(answer: Any) -> str:
    text: str = answer.content.decode()
    return text


def whole(answer: Any) -> bytes:
    async def gathered() -> bytes:
        return b"".join([piece async for piece in answer.streaming_content])

    return async_to_sync(gathered)()


def ids(client: Client, **filters: Any) -> list[int]:
    answer = client.get(f"{ACME}audit/", filters)
    return [event.id for event, *_ in answer.context["lines"]]


def words(action: str) -> list[Event]:
    return list(Event.objects.filter(action=action).order_by("id"))


# Finding -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("filters", "fields"),
    [
        ({"model": "llama"}, {"model": "llama"}),
        ({"status": "502"}, {"status": 502}),
        ({"net": "192.0.2.77"}, {"client_net": "192.0.2.0"}),
        ({"net": "192.0.2.0/24"}, {"client_net": "192.0.2.0"}),
        ({"net": "2001:db8:1:2::3"}, {"client_net": "2001:db8:1::"}),
        ({"route": "/v1/x"}, {"route": "/v1/x"}),
        ({"failed": "on"}, {"success": False}),
        ({"request": "11111111-1111-4111-8111-111111111111"}, None),
        ({"who": "22222222-2222-4222-8222-222222222222"}, None),
    ],
)
def test_it_is_found_by(
    acme: Tenant, client: Client, filters: dict[str, str], fields: dict[str, Any] | None
) -> None:
    given = fields or {
        "request_id": "11111111-1111-4111-8111-111111111111",
        "subject_id": "22222222-2222-4222-8222-222222222222",
    }
    event(acme)
    mine = event(acme, **given)
    assert ids(client, **filters) == [mine.id]


@pytest.mark.parametrize(
    "wrong", [{"net": "here"}, {"status": "many"}, {"request": "1"}, {"since": "x"}]
)
def test_a_wrong_filter_finds_nothing_and_says_why(
    acme: Tenant, client: Client, wrong: dict[str, str]
) -> None:
    event(acme)
    answer = client.get(f"{ACME}audit/", wrong)
    assert answer.context["lines"] == []
    assert "invalid-feedback" in said(answer)


def test_there_and_back_page_by_page(acme: Tenant, client: Client) -> None:
    expected = [event(acme, model="m").id for _ in range(120)][::-1]
    there, cursor = [], ""
    for _ in range(3):
        answer = client.get(f"{ACME}audit/", {"model": "m", "cursor": cursor})
        there += [one.id for one, *_ in answer.context["lines"]]
        cursor = answer.context["page"].older
    assert there == expected
    back = client.get(f"{ACME}audit/", {"model": "m", "cursor": answer.context["page"].newer})
    assert [one.id for one, *_ in back.context["lines"]] == expected[50:100]
    assert client.get(f"{ACME}audit/", {"cursor": cursor or "x"}).status_code == 404


@pytest.mark.django_db
def test_one_token_is_no_tokens(alice: Member, sign_in: SignIn) -> None:
    for tokens_out in (1, 2):
        event(alice.tenant, model="llama", tokens_in=12, tokens_out=tokens_out)
    page = said(sign_in(alice).get(f"{ACME}audit/"))
    assert "12 → 2 tokens" in page
    assert "12 → 1 token" in page
    assert "12 → 1 tokens" not in page


# One event ---------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_an_event_shows_how_it_stands(alice: Member, sign_in: SignIn) -> None:
    mine = event(alice.tenant, model="llama", tokens_in=12, tokens_out=34)
    client = sign_in(alice)
    page = f"{ACME}audit/{mine.pk}/"
    assert "Not sealed yet" in said(client.get(page))
    seal.seal_due()
    answer = said(client.get(page))
    for word in ("Sealed and unchanged", "Checkpoint", "llama", "12 → 34", "Read the texts"):
        assert word in answer


@pytest.mark.django_db(transaction=True)
def test_one_that_was_changed_shows(alice: Member, sign_in: SignIn) -> None:
    from tests.unguarded import unguarded

    mine = event(alice.tenant, model="llama")
    seal.seal_due()
    with unguarded():
        Event.objects.filter(pk=mine.pk).update(model="other")
    page = said(sign_in(alice).get(f"{ACME}audit/{mine.pk}/"))
    assert "This event was changed" in page


def test_what_was_refused_has_a_reason_and_no_texts(
    acme: Tenant, alice: Member, sign_in: SignIn
) -> None:
    client = sign_in(alice)
    refused = event(acme, action="request:refused", success=False, error_code="ip")
    assert '<div><span class="text-danger">ip</span></div>' in said(client.get(f"{ACME}audit/"))
    assert "Read the texts" not in said(client.get(f"{ACME}audit/{refused.id}/"))
    done = event(acme)
    assert "Read the texts" in said(client.get(f"{ACME}audit/{done.id}/"))


def test_an_event_of_another_tenant_is_not_there(
    client: Client, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    theirs = event(globex)
    assert client.get(f"{ACME}audit/{theirs.pk}/").status_code == 404
    assert sign_in(operator).get(f"/console/audit/{theirs.pk}/").status_code == 200


# Texts -------------------------------------------------------------------------------------------
def say(tenant: Tenant, text: str) -> Any:
    mine = event(tenant, subject_id=uuid4())
    assert mine.request_id
    cipher = keyring.of_subject_now(tenant.id, mine.subject_id)
    place = texts.aad(tenant.id, mine.request_id, "response")
    Payload.objects.create(
        at=mine.at,
        tenant_id=tenant.id,
        request_id=mine.request_id,
        field="response",
        data_key_id=cipher.key_id,
        ciphertext=cipher.encrypt(text.encode(), place),
    )
    return mine.request_id


def test_a_text_is_read_with_a_reason_only(acme: Tenant, client: Client) -> None:
    request = say(acme, "the secret answer")
    page = f"{ACME}audit/texts/{request}/"
    assert "secret" not in said(client.get(page))
    assert "secret" not in said(client.post(page, {"reason": ""}))
    assert words("prompt:view") == []
    assert "the secret answer" in said(client.post(page, {"reason": "Complaint 12"}))
    assert words("prompt:view")[0].detail["reason"] == "Complaint 12"


def test_texts_are_searched_with_a_reason_and_not_too_often(acme: Tenant, client: Client) -> None:
    request = say(acme, "wire the <b>money</b> to Zurich")
    now = timezone.now()
    form = {
        "words": "MONEY",
        "since": f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M}",
        "until": f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}",
    }
    page = f"{ACME}audit/texts/"
    assert "invalid-feedback" in said(client.post(page, form))
    answer = said(client.post(page, {**form, "reason": "Complaint 12"}))
    assert "<mark>money</mark>" in answer
    assert "<b>money" not in answer
    assert str(request) in answer
    for _ in range(9):
        client.post(page, {**form, "reason": "Complaint 12"})
    answer = said(client.post(page, {**form, "reason": "Complaint 12"}))
    assert "too often" in answer
    assert "<mark>" not in answer
    assert [one.success for one in words("audit:search")] == [True] * 10 + [False]


@pytest.mark.parametrize("who", ["erin", "bob", "dave", "operator"])
def test_who_may_not_read_prompts_does_not(
    acme: Tenant, who: str, request: pytest.FixtureRequest, sign_in: SignIn
) -> None:
    secret = say(acme, "the secret answer")
    client = sign_in(request.getfixturevalue(who))
    for page in ("audit/texts/", f"audit/texts/{secret}/"):
        assert client.get(ACME + page).status_code == 403
        assert client.post(ACME + page, {"reason": "x"}).status_code == 403
    assert words("prompt:view") == []


def test_reading_wants_a_fresh_proof(acme: Tenant, carol: Member, client: Client) -> None:
    secret = say(acme, "the secret answer")
    prove(client, carol.user, 3600)
    answer = client.post(f"{ACME}audit/texts/{secret}/", {"reason": "x"})
    assert answer.status_code == 302
    assert words("prompt:view") == []


# Files -------------------------------------------------------------------------------------------
def test_a_file_is_asked_for_made_taken_and_deleted(acme: Tenant, client: Client) -> None:
    event(acme, model="llama")
    event(acme, model="qwen")
    page = f"{ACME}audit/exports/"
    answer = client.post(page, {"form": "csv", "model": "llama"}, follow=True)
    assert "Being made" in said(answer)
    trail_export.work()
    assert "Download" in said(client.get(page))
    export = Export.objects.get()
    answer = client.post(f"{page}{export.pk}/file/")
    body = whole(answer)
    assert b"llama" in body
    assert b"qwen" not in body
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="audit-acme-')
    client.post(f"{page}{export.pk}/drop/")
    assert not Export.objects.exists()
    assert len(words("audit:export")) == 3


def test_the_last_month_is_verified_with_one_press(acme: Tenant, client: Client) -> None:
    page = said(client.get(f"{ACME}audit/"))
    form = page.split(f'action="{ACME}audit/exports/"')[1].split("</form>")[0]
    fields = dict(re.findall(r'name="(form|verify|since|until)" value="([^"]+)"', form))
    answer = client.post(f"{ACME}audit/exports/", fields, follow=True)
    assert "Being made" in said(answer)
    export = Export.objects.get()
    since = datetime.fromisoformat(export.asked["since"])
    until = datetime.fromisoformat(export.asked["until"])
    assert (since.day, until.day, since.hour, until.hour) == (1, 1, 0, 0)
    assert until <= timezone.now() < until + timedelta(days=31)
    trail_export.work(verified_export.verified)
    assert "All is as it was sealed" in said(client.get(f"{ACME}audit/exports/"))


def test_findings_are_shown(acme: Tenant, client: Client) -> None:
    outcome = {"ok": False, "events": 2, "checkpoints": 1, "witnessed": 0, "found": 1}
    trail_export.ask(acme.id, Filters(), "jsonl", by="member:a", verify=True)
    trail_export.work(lambda export: {**outcome, "findings": ["seal 7 is missing"]})
    page = said(client.get(f"{ACME}audit/exports/"))
    assert "1 finding" in page
    assert "seal 7 is missing" in page
    assert "The witness knows 0 of them." in page


def test_an_export_with_the_verifier_verifies_elsewhere(
    acme: Tenant, client: Client, tmp_path: Path, settings: Any
) -> None:
    witness = tmp_path / "heard.jsonl"
    witness.write_text('{"n": 1}\n')
    settings.WITNESSES = [f"file://{witness}"]
    event(acme, model="llama")
    seal.seal_round()
    client.post(f"{ACME}audit/exports/", {"form": "jsonl"})
    trail_export.work()
    answer = client.post(f"{ACME}audit/exports/{Export.objects.get().pk}/file/", {"kit": "on"})
    assert answer.headers["Content-Disposition"].endswith('.jsonl.zip"')
    with zipfile.ZipFile(io.BytesIO(whole(answer))) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "kit")
        assert {"README.txt", "audit.jsonl", "witness.jsonl"} <= {*archive.namelist()}
    key = next((tmp_path / "kit").glob("public-key-*.txt"))
    command = [sys.executable, "forebay_verify.py", "export", "audit.jsonl"]
    command += ["--public-key", str(key)]
    ended = subprocess.run(
        command, cwd=tmp_path / "kit", capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "llama" in (tmp_path / "kit" / "audit.jsonl").read_text()
    assert len(words("audit:export")) == 2


def test_a_file_wants_a_fresh_proof(carol: Member, client: Client) -> None:
    client.post(f"{ACME}audit/exports/", {"form": "csv"})
    trail_export.work()
    file = f"{ACME}audit/exports/{Export.objects.get().pk}/file/"
    prove(client, carol.user, 3600)
    assert client.post(file).status_code == 302
    assert client.get(file).status_code == 405
    assert len(words("audit:export")) == 1


# Retention ---------------------------------------------------------------------------------------
def test_a_change_is_shown_first_and_made_then(alice: Member, sign_in: SignIn) -> None:
    client, page = sign_in(alice), f"{ACME}retention/"
    alice.tenant.change(by="test", retention_days=400)
    event(alice.tenant, at=timezone.now() - timedelta(days=300))
    form = {"data_class": "audit", "days": "200"}
    answer = client.post(page, form)
    assert "Month to delete" in said(answer)
    assert answer.context["preview"].total == {"events": 1}
    assert Tenant.objects.get().retention_days == 400
    client.post(page, {**form, "step": "change"})
    assert Tenant.objects.get().retention_days == 200
    assert words("retention:change")[-1].detail["days"] == [400, 200]


@pytest.mark.parametrize("step", ["", "change"])
@pytest.mark.parametrize("days", ["183", "0", "-5", "x", "99999"])
def test_the_floor_holds_on_the_page(alice: Member, sign_in: SignIn, days: str, step: str) -> None:
    form = {"data_class": "audit", "days": days, "step": step}
    assert "invalid-feedback" in said(sign_in(alice).post(f"{ACME}retention/", form))
    assert Tenant.objects.get().retention_days == 200


@pytest.mark.parametrize("who", ["carol", "erin"])
def test_only_who_may_changes_it(who: str, request: pytest.FixtureRequest, sign_in: SignIn) -> None:
    client = sign_in(request.getfixturevalue(who))
    assert client.get(f"{ACME}retention/").status_code == 200
    form = {"data_class": "audit", "days": "300", "step": "change"}
    assert client.post(f"{ACME}retention/", form).status_code == 403


def test_an_operator_sees_all_tenants_days_and_holds(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    legal_hold.request(globex.id, by="a", reason="Case 9", expires_at=in_days(3))
    client = sign_in(operator)
    assert all(name in said(client.get("/console/retention/")) for name in ("acme", "globex"))
    assert "acme" in said(client.get("/console/retention/?q=ac%00me&after=%00"))
    assert "Case 9" in said(client.get("/console/holds/"))


def test_the_days_of_all_tenants_take_as_many_queries_as_those_of_two(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    client = sign_in(operator)
    client.get("/console/retention/")
    caches["process"].clear()  # both count what waits for the operator
    with CaptureQueriesContext(connection) as of_two:
        client.get("/console/retention/")
    for n in range(60):
        Tenant.open(f"tenant-{n:02}", by="test", retention_days=300 + n)
    caches["process"].clear()
    with CaptureQueriesContext(connection) as of_many:
        page = client.get("/console/retention/").content.decode()
    assert len(of_many) == len(of_two)
    assert (page.count("<td><a href"), "tenant-47" in page, "tenant-48" in page) == (
        50,
        True,
        False,
    )
    following = client.get("/console/retention/", {"after": "tenant-47"}).content.decode()
    assert ("tenant-47<" in following, "tenant-48<" in following) == (False, True)
    found = client.get("/console/retention/", {"q": "tenant-5"}).content.decode()
    assert ("359" in found, "acme" in found) == (True, False)


# Holds -------------------------------------------------------------------------------------------
def in_days(days: int) -> Any:
    return timezone.now() + timedelta(days=days)


def place(client: Client, **given: str) -> Any:
    form = {"reason": "Case 4711", "expires_at": f"{in_days(30):%Y-%m-%dT%H:%M}", **given}
    return client.post(f"{ACME}holds/", form, follow=True)


def test_one_places_another_approves(
    bob: Member, client: Client, second: Member, sign_in: SignIn
) -> None:
    assert "in force" in said(place(client, subject="bob@acme.example"))
    hold = LegalHold.objects.get()
    assert hold.subject_id == bob.subject_id
    url = f"{ACME}holds/{hold.pk}/approval/"
    assert "took the previous step" in said(client.post(url, follow=True))
    other = sign_in(second)
    assert "bob@acme.example" in said(other.get(f"{ACME}holds/"))
    assert "Approved" in said(other.post(url, follow=True))
    hold.refresh_from_db()
    assert hold.approved_by == f"user:{second.user_id}"
    assert [one.action for one in Event.objects.filter(action__startswith="hold:")]


def test_the_same_person_in_another_role_is_the_same_person(
    acme: Tenant, carol: Member, client: Client
) -> None:
    place(client)
    User.objects.filter(pk=carol.user_id).update(is_operator=True)
    carol.delete()
    hold = LegalHold.objects.get()
    answer = client.post(f"{ACME}holds/{hold.pk}/approval/", follow=True)
    assert "took the previous step" in said(answer)
    hold.refresh_from_db()
    assert hold.approved_at is None


def test_renewed_and_released(client: Client, second: Member, sign_in: SignIn) -> None:
    place(client)
    hold = LegalHold.objects.get()
    url = f"{ACME}holds/{hold.pk}/"
    until = {"expires_at": f"{in_days(60):%Y-%m-%dT%H:%M}"}
    assert "took the previous step" in said(client.post(f"{url}renewal/", until, follow=True))
    other = sign_in(second)
    assert "Renewed" in said(other.post(f"{url}renewal/", until, follow=True))
    assert "Another person has to renew it" in said(other.get(f"{ACME}holds/"))
    late = {"expires_at": f"{in_days(600):%Y-%m-%dT%H:%M}"}
    assert "within the next year" in said(client.post(f"{url}renewal/", late, follow=True))
    assert "Say why" in said(client.post(f"{url}release/", {}, follow=True))
    asked = said(client.post(f"{url}release/", {"reason": "settled"}, follow=True))
    assert "stays in force until another person approves it" in asked
    assert "took the previous step" in said(client.post(f"{url}release/", follow=True))
    assert legal_hold.in_force(hold.tenant_id) == hold
    shown = said(other.get(f"{ACME}holds/"))
    assert "settled" in shown
    assert "Approve the release" in shown
    assert "Released" in said(other.post(f"{url}release/", follow=True))
    assert legal_hold.in_force(hold.tenant_id) is None
    assert "is over" in said(client.post(f"{url}release/", {"reason": "over"}, follow=True))


def test_placed_anew_it_keeps_nothing_before_it_is_approved(client: Client) -> None:
    place(client)
    answer = said(place(client, reason="Case 4712"))
    assert "takes effect only when another person approves it" in answer
    assert "Not in force before it is approved" in answer


@pytest.mark.parametrize(
    "wrong",
    [{"reason": ""}, {"expires_at": ""}, {"subject": "nobody@acme.example"}, {"expires_at": "x"}],
)
def test_a_wrong_hold_is_none(client: Client, wrong: dict[str, str]) -> None:
    assert "invalid-feedback" in said(place(client, **wrong))
    assert not LegalHold.objects.exists()


def test_of_another_tenant_there_is_nothing(client: Client, globex: Tenant) -> None:
    hold = legal_hold.request(globex.id, by="a", reason="Case 9", expires_at=in_days(3))
    for act_ in ("approval", "renewal", "release"):
        answer = client.post(f"{ACME}holds/{hold.pk}/{act_}/", {"reason": "x"})
        assert answer.status_code == 404
    assert "Case 9" not in said(client.get(f"{ACME}holds/"))


def test_a_developer_sees_none_of_it(bob: Member, sign_in: SignIn) -> None:
    act("hold:request", actor="x", tenant_id=bob.tenant_id)  # type: ignore[arg-type]
    client = sign_in(bob)
    for page in ("holds/", "retention/", "audit/exports/"):
        assert client.get(ACME + page).status_code == 403


def test_a_hold_that_is_over_goes_from_the_list_with_its_tenant(
    operator: User, sign_in: SignIn
) -> None:
    """Holds are kept for ever. One that still holds is shown, whoever it belonged to."""
    gone = uuid4()
    over = legal_hold.request(gone, by="a", reason="Case 10", expires_at=in_days(3))
    legal_hold.request(gone, by="a", reason="Case 11", expires_at=in_days(3))
    for person in ("a", "b"):
        legal_hold.release(over, by=person, reason="settled")
    page = said(sign_in(operator).get("/console/holds/"))
    assert "Case 10" not in page
    assert "Case 11" in page
