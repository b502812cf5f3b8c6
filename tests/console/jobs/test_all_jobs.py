"""Jobs of all tenants for operators: without names of models and data, with acts on record."""

import pytest
from pytest_django.fixtures import Settings

from audit.models import Event
from tenants.models import Member, Tenant, User
from tests.console.api.conftest import Api
from tests.console.conftest import SignIn
from tests.console.jobs.rows import a_job

pytestmark = pytest.mark.django_db
ALL = "/console/jobs/"


def test_an_operator_sees_those_of_all_without_the_names_of_their_models(
    operator: User, acme: Tenant, globex: Tenant, sign_in: SignIn
) -> None:
    running = a_job(acme, "running", base="merger-plans@1", done=5, of=20, active_ms=60_000)
    over = a_job(globex, "succeeded", kind="quantise", pool="far")
    client = sign_in(operator)
    page = client.get(ALL).content.decode()
    for text in (running.public_id, over.public_id, "acme", "globex", "25.0 %", "3 min"):
        assert text in page
    assert "merger-plans" not in page
    for query, shown, hidden in (
        ("tenant=globex", over, running),
        ("pool=far", over, running),
        ("state=unfinished", running, over),
        ("kind=quantise", over, running),
    ):
        rows = client.get(f"{ALL}?{query}").content.decode()
        assert (shown.public_id in rows, hidden.public_id in rows) == (True, False), query


def test_an_operators_acts_are_on_the_tenants_record(
    operator: User, acme: Tenant, sign_in: SignIn
) -> None:
    job, client = a_job(acme, "running"), sign_in(operator)
    for verb, state in (("pause", "paused"), ("resume", "validating"), ("cancel", "cancelled")):
        assert client.post(f"{ALL}{job.pk}/{verb}/")["Location"] == ALL
        job.refresh_from_db()
        assert job.state == state
    late = client.post(f"{ALL}{job.pk}/cancel/", follow=True).content.decode()
    assert "another state" in late
    events = Event.objects.filter(action__startswith="job:", tenant_id=acme.pk).order_by("id")
    assert [event.action for event in events] == ["job:pause", "job:resume", "job:cancel"]
    assert {event.actor for event in events} == {f"operator:{operator.pk}"}


def test_nobody_else_sees_or_stops_one(alice: Member, globex: Tenant, sign_in: SignIn) -> None:
    job, client = a_job(globex, "running"), sign_in(alice)
    assert client.get(ALL).status_code == 403
    assert client.post(f"{ALL}{job.pk}/cancel/").status_code == 403
    assert Api(client).get("jobs/").status_code == 403
    assert Api(client).post(f"jobs/{job.pk}/cancel/").status_code == 403
    job.refresh_from_db()
    assert job.state == "running"


def test_one_that_would_be_too_many_is_not_resumed_and_the_page_says_so(
    alice: Member, sign_in: SignIn, settings: Settings
) -> None:
    settings.JOBS_UNDER_WAY = 1
    a_job(alice.tenant, "running")
    paused = a_job(alice.tenant, "paused")
    page = f"/console/t/acme/jobs/{paused.pk}/resume/"
    answer = sign_in(alice).post(page, follow=True)
    assert (answer.status_code, "as may be" in answer.content.decode()) == (200, True)
    paused.refresh_from_db()
    assert paused.state == "paused"


def test_over_the_api(operator: User, acme: Tenant, globex: Tenant, sign_in: SignIn) -> None:
    job, over = a_job(acme, "running", base="merger-plans@1"), a_job(globex, "failed")
    api = Api(sign_in(operator))
    assert {row["tenant"] for row in api.get("jobs/").json()["results"]} == {"acme", "globex"}
    (row,) = api.get("jobs/?tenant=globex&state=failed").json()["results"]
    assert row["id"] == str(over.pk)
    shown = api.get(f"jobs/{job.pk}/")
    assert (shown.json()["tenant"], shown.json()["name"]) == ("acme", job.public_id)
    assert "merger-plans" not in shown.content.decode()
    assert api.post(f"jobs/{job.pk}/pause/").json()["state"] == "paused"
    assert api.post(f"jobs/{job.pk}/resume/").json()["state"] == "validating"
    assert api.post(f"jobs/{over.pk}/cancel/").status_code == 409
