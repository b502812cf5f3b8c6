"""Usage by session: its page, its files, and the management API."""

import csv
import io
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from audit.models import Event
from inference.usage import sessions
from tenants.models import ApiKey, Member, Quota, Tenant
from tests.console.api.conftest import API
from tests.console.conftest import SignIn
from tests.inference.usages import use

pytestmark = pytest.mark.django_db
PAGE = "/console/t/acme/usage/sessions/"
LARGE, SMALL = UUID(int=1), UUID(int=2)


def recently(tenant: Tenant, session: UUID | None, **changes: Any) -> None:
    use(tenant, created_at=timezone.now(), session=session, **changes)


@pytest.fixture
def key(acme: Tenant, globex: Tenant) -> ApiKey:
    """acme's key, with two sessions, requests of none, and one of globex."""
    key, _ = ApiKey.issue(acme, "agents of the data team", by="test")
    for cost in (3_000_000, 1_250_000):
        recently(acme, LARGE, cost=cost, api_key_id=key.pk)
    recently(acme, SMALL, cost=10, model="other", member_id=uuid4(), prompt_tokens=9_000)
    recently(acme, None, cost=9_000_000)
    recently(globex, UUID(int=3), cost=8_000_000)
    return key


def test_the_page_has_the_dearest_first_and_who_it_was(
    key: ApiKey, alice: Member, sign_in: SignIn
) -> None:
    page = sign_in(alice).get(PAGE).content.decode()
    assert page.index(str(LARGE)) < page.index(str(SMALL))
    for text in ("agents of the data team", "4.25", "9,000", "other"):
        assert text in page
    assert str(UUID(int=3)) not in page
    by_tokens = sign_in(alice).get(PAGE, {"sort": "tokens"}).content.decode()
    assert by_tokens.index(str(SMALL)) < by_tokens.index(str(LARGE))
    one = sign_in(alice).get(PAGE, {"session": str(SMALL)}).content.decode()
    assert str(LARGE) not in one


def test_a_range_leaves_out_what_was_before(key: ApiKey, acme: Tenant) -> None:
    old = UUID(int=4)
    use(acme, created_at=timezone.now() - timedelta(days=3), session=old)
    assert [line.session for line in sessions.top(acme, "24h")] == [LARGE, SMALL]
    assert old in [line.session for line in sessions.top(acme, "7d")]


def test_a_try_that_is_repeated_is_no_request_but_is_billed(key: ApiKey, acme: Tenant) -> None:
    """The body of a batch's line names a session."""
    recently(acme, LARGE, cost=500_000, prompt_tokens=100, repeated=True)
    large = sessions.top(acme, "24h")[0]
    assert (large.requests, large.cost) == (2, 4_750_000)


def test_a_list_is_bounded(key: ApiKey, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 1)
    assert [line.session for line in sessions.top(acme, "24h")] == [LARGE]


def test_the_file_is_the_page_and_on_record(key: ApiKey, alice: Member, sign_in: SignIn) -> None:
    client = sign_in(alice)
    answer = client.get(f"{PAGE}export/", {"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["session"] for row in rows] == [str(LARGE), str(SMALL)]
    assert (rows[0]["cost"], rows[0]["by"], rows[0]["requests"]) == ("4.25", key.actor, "2")
    as_json = client.get(f"{PAGE}export/", {"format": "json", "sort": "tokens"}).json()
    assert [row["session"] for row in as_json] == [str(SMALL), str(LARGE)]
    events = Event.objects.filter(action="usage:export").values_list("detail", flat=True)
    assert {event["file"] for event in events} == {
        "sessions-acme-7d.csv",
        "sessions-acme-7d.json",
    }
    assert client.get(f"{PAGE}export/", {"format": "xml"}).status_code == 404


def test_the_api_says_the_same(key: ApiKey, alice: Member, sign_in: SignIn) -> None:
    client, path = sign_in(alice), f"{API}tenants/acme/usage/sessions/"
    first, second = client.get(path).json()["sessions"]
    assert (first["session"], first["cost"], first["actors"]) == (
        str(LARGE),
        4_250_000,
        [key.actor],
    )
    assert second["models"] == ["other"]
    assert client.get(f"{path}?range=1h").status_code == 400
    file = client.get(f"{path}export/?form=csv")
    assert file.content.decode("utf-8-sig").startswith("session,by,models,requests")


def test_no_session_says_how_there_will_be_one(alice: Member, sign_in: SignIn) -> None:
    page = sign_in(alice).get(PAGE).content.decode()
    assert "x-session-id" in page
    assert sign_in(alice).get(f"{PAGE}export/", {"format": "json"}).json() == []


def test_a_quota_per_session_shows_its_fullest(alice: Member, sign_in: SignIn) -> None:
    quota = Quota.set(alice.tenant, unit="requests", window="session", limit=4, by="test")
    quota.counters.create(
        tenant=alice.tenant,
        session=LARGE,
        starts=quota.balance().starts,
        ends=quota.balance().ends,
        used=3,
    )
    client = sign_in(alice)
    page = client.get(f"/console/t/acme/quotas/{quota.pk}/").content.decode()
    for text in ("Requests per session", str(LARGE), "75 %"):
        assert text in page
    assert "9999" not in page + client.get("/console/t/acme/quotas/").content.decode()
    standing = client.get(f"{API}tenants/acme/quotas/{quota.pk}/standing/").json()
    assert (standing["used"], standing["session"], standing["ends"]) == (3, str(LARGE), None)
