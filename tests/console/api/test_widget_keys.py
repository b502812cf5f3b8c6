"""Widget keys over the management API: made, changed, revoked, and refused."""

from typing import Any
from uuid import uuid4

import pytest

from audit.models import Event
from tenants.models import ApiKey, Member, Team, Tenant
from tests.console.api.conftest import Api, Enter, errors
from tests.inference.api.dialogues import helpdesk

pytestmark = pytest.mark.django_db
LIST = "tenants/acme/widget-keys/"
ORIGINS = ["https://shop.example"]


@pytest.fixture
def api(acme: Tenant, with_key: Enter) -> Api:
    return with_key(acme, ["management:read", "management:write"])


@pytest.fixture
def fields(acme: Tenant) -> dict[str, Any]:
    key = ApiKey.issue(acme, "shop", by="test")[0]
    assistant = helpdesk.serve(acme, key)
    names = {"assistant": str(assistant.pk), "api_key": str(key.pk)}
    return {"name": "the shop", "origins": ORIGINS, **names}


def test_one_is_made_changed_and_revoked_on_record(api: Api, fields: dict[str, Any]) -> None:
    answer = api.post(LIST, **fields)
    assert answer.status_code == 201, answer.content
    shown = api.get(str(answer.headers["Location"]))
    assert shown.json()["text"].startswith("pk-fb-")
    assert shown.json()["assistant"] == fields["assistant"]
    path, etag = str(answer.headers["Location"]), shown.headers["ETag"]
    changed = api.patch(path, etag, origins=["https://new.example"])
    assert changed.json()["origins"] == ["https://new.example"]
    assert [row["name"] for row in api.get(LIST).json()["results"]] == ["the shop"]
    assert api.delete(path, changed.headers["ETag"]).status_code == 204
    assert api.get(path).status_code == 404
    events = Event.objects.filter(action__startswith="widget_key:").order_by("id")
    assert [event.action for event in events] == [
        "widget_key:create",
        "widget_key:change",
        "widget_key:revoke",
    ]


def test_a_key_beyond_the_callers_reach_is_for_none_of_their_pages(
    acme: Tenant, bob: Member, enter: Enter, api: Api, fields: dict[str, Any]
) -> None:
    team = Team.form(acme, "risk", by="test")
    ApiKey.objects.get(pk=fields["api_key"]).change(by="test", team=team)
    made = api.post(LIST, **fields)
    mine = enter(bob)
    assert mine.post(LIST, **fields).status_code == 403
    path = str(made.headers["Location"])
    assert mine.patch(path, origins=["https://bob.example"]).status_code == 403


@pytest.mark.parametrize("name", ["assistant", "api_key"])
def test_what_the_tenant_does_not_have_is_refused(
    api: Api, fields: dict[str, Any], name: str
) -> None:
    answer = api.post(LIST, **{**fields, name: str(uuid4())})
    assert errors(answer).keys() == {name}


def test_origins_have_the_form_of_browsers(api: Api, fields: dict[str, Any]) -> None:
    answer = api.post(LIST, **{**fields, "origins": ["shop.example/"]})
    assert errors(answer).keys() == {"origins"}
