"""The request log as a file."""

import csv
import io
import json
from typing import Any

import pytest

from audit.models import Event
from inference.models import State
from inference.usage import request_log
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.asked import completion
from tests.console.conftest import SignIn

FILE = "/console/t/acme/requests/export/"


def text(answer: Any) -> str:
    return b"".join(answer).decode("utf-8-sig")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_the_file_has_the_filtered_rows_and_is_on_record(
    acme: Tenant, bob: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.CURRENCY = "EUR"
    monkeypatch.setattr(request_log, "CHUNK", 2)
    key, _ = ApiKey.issue(acme, "=HYPERLINK(1)", by="test")
    rows = [completion(acme, api_key=key, cost=1_500_000, seconds_ago=n) for n in range(5)]
    completion(acme, state=State.FAILED)
    answer = sign_in(bob).get(FILE, {"state": "done", "format": "csv"})
    lines = list(csv.DictReader(io.StringIO(text(answer))))
    assert [line["id"] for line in lines] == [str(row.pk) for row in rows]
    assert lines[0]["key"] == "'=HYPERLINK(1)"
    assert (lines[0]["cost"], lines[0]["currency"]) == ("1.5", "EUR")
    event = Event.objects.get(action="usage:export")
    assert event.detail["file"] in answer["Content-Disposition"]


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_json_has_numbers_and_operators_get_the_tenant(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    completion(acme), completion(globex, state=State.OPEN)
    answer = sign_in(operator).get("/console/requests/export/", {"format": "json"})
    by_tenant = {line["tenant"]: line for line in json.loads(text(answer))}
    assert by_tenant["acme"]["prompt_tokens"] == 12
    assert by_tenant["globex"]["prompt_tokens"] is None


def test_an_unknown_form_or_filter_is_no_file(bob: Member, sign_in: SignIn) -> None:
    client = sign_in(bob)
    assert client.get(FILE, {"format": "xml"}).status_code == 404
    assert client.get(FILE, {"id": "?"}).status_code == 404
