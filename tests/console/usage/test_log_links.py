"""Figures and charts of usage and overview lead to the rows that they count."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from django.test import Client
from django.utils import timezone

from inference.models import Completion, Usage
from inference.usage import rollup
from tenants.models import ApiKey, Member, Tenant, User
from tests.console.asked import completion
from tests.console.conftest import SignIn
from tests.inference.usages import used

LOG = re.compile(r'href="(/console/(?:t/acme/)?requests/\?[^"]*)"')


def links(client: Client, path: str, **query: str) -> list[str]:
    page = client.get(path, query).content.decode()
    return [html.unescape(link) for link in LOG.findall(page)]


def ids(client: Client, link: str) -> list[Any]:
    answer = client.get(link)
    assert answer.context["form"].is_valid(), answer.context["form"].errors
    return [row.pk for row in answer.context["page"].rows]


def failed(tenant: Tenant, **changes: Any) -> Completion:
    end = {"status": 502, "finish_reason": "error", "error_code": "engine_failed"}
    used(tenant, timezone.now(), **end, **changes)
    row = Completion.objects.get(pk=Usage.objects.get(error_code="engine_failed").pk)
    row.state, row.api_key_id = "failed", changes.get("api_key_id")
    row.save()
    return row


def test_figures_of_usage_lead_to_their_rows(alice: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(alice.tenant, "ci", by="test")
    row = failed(alice.tenant, api_key_id=key.pk)
    used(alice.tenant, timezone.now())
    rollup.roll_up()
    client = sign_in(alice)
    every = links(client, "/console/t/acme/usage/", by="key")
    of_failed = [link for link in every if "state=failed" in link]
    assert of_failed
    for link in of_failed:
        assert ids(client, link) == [row.pk]
    assert any(parse_qs(urlsplit(link).query).get("key") == [str(key.pk)] for link in every)
    all_of_them = [link for link in every if "state=" not in link and "key=" not in link]
    assert all(row.pk in ids(client, link) for link in all_of_them)


def test_points_of_a_chart_lead_to_their_rows(alice: Member, sign_in: SignIn) -> None:
    row = failed(alice.tenant)
    rollup.roll_up()
    client = sign_in(alice)
    page = client.get("/console/t/acme/usage/", {"range": "24h"}).content.decode()
    chart = orjson.loads(html.unescape(re.findall(r'data-usage="([^"]*)"', page)[0]))
    assert len(chart["urls"]) == len(chart["labels"]) == 24
    assert ids(client, chart["urls"][-1]) == [row.pk]
    assert ids(client, chart["urls"][0]) == []


def test_the_platforms_usage_leads_to_a_tenants_log(
    alice: Member, operator: User, sign_in: SignIn
) -> None:
    used(alice.tenant, timezone.now())
    rollup.roll_up()
    client = sign_in(operator)
    every = links(client, "/console/usage/")
    assert any(link.startswith("/console/t/acme/requests/") for link in every)
    assert all(len(ids(client, link)) == 1 for link in every if "state=" not in link)


def test_figures_of_the_overview_lead_to_their_rows(alice: Member, sign_in: SignIn) -> None:
    row = completion(alice.tenant, state="failed")
    running = completion(alice.tenant, state="open")
    client = sign_in(alice)
    every = links(client, "/console/t/acme/")
    of_failed = [ids(client, link) for link in every if "state=failed" in link]
    places = "the last minute, the trends, and their day in the chart and its table"
    assert [rows for rows in of_failed if rows] == [[row.pk]] * 4, places
    assert [ids(client, link) for link in every if "state=open" in link] == [[running.pk]]
    assert any("model=smollm2" in link for link in every)


def test_the_session_list_leads_to_its_requests(alice: Member, sign_in: SignIn) -> None:
    session = "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"
    row = completion(alice.tenant, session=session)
    client = sign_in(alice)
    (link,) = links(client, "/console/t/acme/usage/sessions/")
    assert ids(client, link) == [row.pk]
