"""A tenant's batches in the console: seen, paused, cancelled, and read with a reason."""

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone, translation
from pytest_django.fixtures import Settings

from audit.models import Event
from console.usage import batches
from inference.batch import file_store
from inference.models import Batch, BatchState, File, FilePurpose
from inference.pool_policy import PoolWindow
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.api.conftest import Api
from tests.console.conftest import SignIn

pytestmark = pytest.mark.django_db(transaction=True)
ANSWERS = b'{"custom_id":"a"}\n' * 3
LIST = "/console/t/acme/batches/"


def stored(key: ApiKey, content: bytes = ANSWERS) -> File:
    owner = file_store.FileOwner(key.tenant_id, key.subject_id, key.pk, key.actor)
    writer = file_store.FileWriter(owner, FilePurpose.BATCH_OUTPUT, "answers")
    writer.write(content)
    return writer.finish()


def a_batch(tenant: Tenant, **changes: Any) -> Batch:
    key, _ = ApiKey.issue(tenant, "nightly", by="test")
    file = stored(key)
    given: dict[str, Any] = {
        "tenant": tenant,
        "api_key": key,
        "subject_id": key.subject_id,
        "data_key_id": file.data_key_id,
        "endpoint": "/v1/chat/completions",
        "input_file_id": file.pk,
        "state": BatchState.IN_PROGRESS,
        "total": 1200,
        "completed": 900,
        "failed": 3,
        "expires_at": timezone.now() + timedelta(hours=24),
    }
    return Batch.objects.create(**given | changes)


def page_of(batch: Batch) -> str:
    return f"{LIST}{batch.pk}/"


def test_they_are_sorted_and_exported(
    bob: Member, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    many, few = a_batch(bob.tenant), a_batch(bob.tenant, completed=1)
    other = a_batch(globex, completed=5)
    client, operators = sign_in(bob), sign_in(operator)
    shown = client.get(LIST, {"sort": "progress"}).context["table"].rows
    assert [row.pk for row in shown] == [few.pk, many.pk]
    for sort in batches.BATCHES.sorts:
        assert len(client.get(LIST, {"sort": f"-{sort}"}).context["table"].rows) == 2
    for sort in batches.ALL_BATCHES.sorts:
        rows = operators.get("/console/batches/", {"sort": sort}).context["table"].rows
        assert len(rows) == 3
    file = client.get(LIST, {"export": "csv"}).content.decode()
    assert few.public_id in file
    assert other.public_id not in file
    assert other.public_id in operators.get("/console/batches/", {"export": "csv"}).content.decode()


def test_their_progress_is_shown(bob: Member, globex: Tenant, sign_in: SignIn) -> None:
    batch, other = a_batch(bob.tenant), a_batch(globex)
    page = sign_in(bob).get(LIST).content.decode()
    for said in ("nightly", "903 / 1,200", "3 failed", "In progress", batch.public_id):
        assert said in page
    assert other.public_id not in page


def test_in_chinese(bob: Member, sign_in: SignIn) -> None:
    batch = a_batch(bob.tenant)
    client = sign_in(bob)
    client.post("/i18n/setlang/", {"language": "zh-hans"})
    for address in (LIST, page_of(batch)):
        page = client.get(address).content.decode()
        assert "批处理" in page
        for english in ("Batch", "Progress", "In progress", "Pause", "Cancel"):
            assert english not in page.replace(batch.public_id, "")
    translation.deactivate()


def test_what_failed_it_is_told(bob: Member, sign_in: SignIn) -> None:
    problem = {"code": "invalid_url", "message": "`url` must be", "line": 17, "param": "url"}
    batch = a_batch(bob.tenant, state=BatchState.FAILED, problems=[problem])
    page = sign_in(bob).get(page_of(batch)).content.decode()
    assert "Line 17" in page
    assert "invalid_url" in page
    assert "/pause/" not in page


def test_paused_and_resumed_and_cancelled(bob: Member, sign_in: SignIn) -> None:
    batch, client = a_batch(bob.tenant), sign_in(bob)
    client.post(f"{page_of(batch)}pause/")
    batch.refresh_from_db()
    assert batch.paused_at
    assert "Resume" in client.get(page_of(batch)).content.decode()
    client.post(f"{page_of(batch)}resume/")
    client.post(f"{page_of(batch)}cancel/")
    batch.refresh_from_db()
    assert (batch.state, batch.ends_as) == ("cancelling", "cancelled")
    assert "/pause/" not in client.get(page_of(batch)).content.decode()
    acts = Event.objects.filter(action__startswith="batch:").order_by("id")
    assert [act.action for act in acts] == ["batch:pause", "batch:resume", "batch:cancel"]
    assert {act.actor for act in acts} == {bob.actor}


def test_one_that_has_ended_stays_so(bob: Member, sign_in: SignIn) -> None:
    batch = a_batch(bob.tenant, state=BatchState.COMPLETED)
    page = sign_in(bob).post(f"{page_of(batch)}cancel/", follow=True).content.decode()
    assert "too late" in page
    assert not Event.objects.filter(action__startswith="batch:").exists()


def test_an_auditor_sees_and_does_not_act(carol: Member, sign_in: SignIn) -> None:
    batch, client = a_batch(carol.tenant), sign_in(carol)
    assert "/pause/" not in client.get(page_of(batch)).content.decode()
    assert client.post(f"{page_of(batch)}pause/").status_code == 403


def test_a_file_is_read_with_a_reason(carol: Member, sign_in: SignIn) -> None:
    batch, client = a_batch(carol.tenant), sign_in(carol)
    asked = {"kind": "input", "reason": "case 12"}
    answer: Any = client.post(f"{page_of(batch)}download/", asked)
    assert answer.status_code == 200
    assert answer["content-disposition"].endswith(f'{batch.public_id}_input.jsonl"')
    assert async_to_sync(_whole)(answer) == ANSWERS
    event = Event.objects.get(action="file:read")
    assert (event.actor, event.detail["reason"]) == (carol.actor, "case 12")


async def _whole(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer.streaming_content])


def test_without_a_reason_it_is_not(carol: Member, sign_in: SignIn) -> None:
    batch, client = a_batch(carol.tenant), sign_in(carol)
    answer = client.post(f"{page_of(batch)}download/", {"kind": "input"})
    assert "This field is required" in answer.content.decode()
    assert not Event.objects.filter(action="file:read").exists()


def test_only_who_reads_prompts_reads_files(bob: Member, sign_in: SignIn) -> None:
    batch, client = a_batch(bob.tenant), sign_in(bob)
    assert "download" not in client.get(page_of(batch)).content.decode().lower()
    asked = {"kind": "input", "reason": "curious"}
    assert client.post(f"{page_of(batch)}download/", asked).status_code == 403


def test_anothers_batch_does_not_exist(bob: Member, globex: Tenant, sign_in: SignIn) -> None:
    other, client = a_batch(globex), sign_in(bob)
    assert client.get(page_of(other)).status_code == 404
    assert client.post(f"{page_of(other)}cancel/").status_code == 404


# Operators --------------------------------------------------------------------------------------
ALL = "/console/batches/"


def test_an_operator_sees_those_of_all_and_no_text(
    operator: User, acme: Tenant, globex: Tenant, sign_in: SignIn, settings: Settings
) -> None:
    settings.BATCH_WINDOW = PoolWindow.parse("22:00-06:00", outside=2)
    opens = timezone.now() + timedelta(hours=5)
    resting, over = a_batch(acme, due_at=opens), a_batch(globex, state=BatchState.COMPLETED)
    client = sign_in(operator)
    shown = client.get(ALL).content.decode()
    for said in (resting.public_id, over.public_id, "acme", "globex", "903 / 1,200", "22:00-06:00"):
        assert said in shown
    assert f"rests until {timezone.localtime(opens):%Y-%m-%d %H:%M}" in shown
    under_way = client.get(f"{ALL}?under_way=on").content.decode()
    assert (resting.public_id in under_way, over.public_id in under_way) == (True, False)
    of_globex = client.get(f"{ALL}?tenant=globex").content.decode()
    assert (resting.public_id in of_globex, over.public_id in of_globex) == (False, True)


def test_an_operator_acts_on_one(operator: User, acme: Tenant, sign_in: SignIn) -> None:
    batch, client = a_batch(acme), sign_in(operator)
    for act in ("pause", "resume", "cancel", "cancel"):
        client.post(f"{ALL}{batch.pk}/{act}/")
    batch.refresh_from_db()
    assert batch.state == "cancelling"
    done = Event.objects.filter(action__startswith="batch:", tenant_id=acme.pk).order_by("id")
    assert [act.action for act in done] == ["batch:pause", "batch:resume", "batch:cancel"]
    Batch.objects.update(state=BatchState.COMPLETED)
    late = client.post(f"{ALL}{batch.pk}/cancel/", follow=True).content.decode()
    assert "too late" in late


def test_nobody_else_does(alice: Member, globex: Tenant, sign_in: SignIn) -> None:
    batch, client = a_batch(globex), sign_in(alice)
    assert client.get(ALL).status_code == 403
    assert client.post(f"{ALL}{batch.pk}/cancel/").status_code == 403
    batch.refresh_from_db()
    assert batch.state == "in_progress"


# The management API -----------------------------------------------------------------------------
def test_over_the_api(alice: Member, globex: Tenant, sign_in: SignIn) -> None:
    batch, other = a_batch(alice.tenant), a_batch(globex)
    api, mine = Api(sign_in(alice)), "tenants/acme/batches/"
    (row,) = api.get(mine).json()["results"]
    assert row == api.get(f"{mine}{batch.pk}/").json()
    assert (row["name"], row["state"], row["completed"]) == (batch.public_id, "in_progress", 900)
    assert api.post(f"{mine}{batch.pk}/pause/").json()["paused"]
    assert not api.post(f"{mine}{batch.pk}/resume/").json()["paused"]
    assert api.post(f"{mine}{batch.pk}/cancel/").json()["state"] == "cancelling"
    assert api.get(f"{mine}?under_way=false").json()["results"] == []
    assert api.post(f"{mine}{batch.pk}/pause/").status_code == 409
    for act in ("", "pause/"):
        path = f"{mine}{other.pk}/{act}"
        assert (api.post(path) if act else api.get(path)).status_code == 404
    assert api.get("batches/").status_code == 403


def test_an_operator_has_all_of_them(
    operator: User, acme: Tenant, globex: Tenant, sign_in: SignIn
) -> None:
    batch, other = a_batch(acme), a_batch(globex, state=BatchState.FAILED)
    api = Api(sign_in(operator))
    assert {row["tenant"] for row in api.get("batches/").json()["results"]} == {"acme", "globex"}
    (row,) = api.get("batches/?tenant=globex&state=failed").json()["results"]
    assert row["id"] == str(other.pk)
    assert api.get(f"batches/{batch.pk}/").json()["tenant"] == "acme"
    assert api.post(f"batches/{batch.pk}/pause/").json()["paused"]
    assert api.post(f"batches/{batch.pk}/resume/").status_code == 200
    assert api.post(f"batches/{other.pk}/cancel/").status_code == 409
