"""Tables are searched, sorted and paged by keyset, and exported as CSV, on record."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.http import Http404
from django.test import Client

from audit.actions import Action
from audit.erasure import deletion
from audit.models import Event
from audit.retention import legal_hold
from console import paging
from console.access import aliases, api_keys, operator_keys, served_models, widget_keys
from console.actions import pages as actions
from console.assistants import assistants
from console.data_sets import pages as data_sets
from console.decisions import contests, policies, reviews
from console.evaluations import evaluations, task_sets
from console.evaluations import policies as policy_evaluations
from console.jobs import pages as jobs
from console.knowledge import pages as knowledge
from console.limits import prices, quotas, reconciliations, refusals
from console.notices import deliveries as deliveries_of_notices
from console.notices import targets as notice_targets
from console.people import members, teams
from console.privacy import deletions, legal_holds
from console.prompts import templates
from console.registry import pages as registry
from console.serving import adapters
from console.tables import Table, cell
from console.tenants import tenant_list
from inference.models import Contest, ModelAlias, WidgetKey
from tenants import model_access
from tenants.models import ApiKey, Member, Notice, Price, Quota, Team, Tenant, User
from tenants.models.quotas.quota_raise import QuotaRaise
from tenants.notices.trial import send_test
from tests.console.conftest import SignIn
from tests.console.furnished import furnish
from tests.inference.decisions.made import decided
from tests.tenants.notices.conftest import new_target

TEAMS, KEYS = "/console/t/acme/teams/", "/console/t/acme/keys/"
INSIDE: dict[str, Table] = {
    "members/": members.MEMBERS,
    "teams/": teams.TEAMS,
    "keys/": api_keys.KEYS,
    "policies/": policies.POLICIES,
    "templates/": templates.TEMPLATES,
    "assistants/": assistants.ASSISTANTS,
    "task-sets/": task_sets.TASK_SETS,
    "data-sets/": data_sets.DATA_SETS,
    "knowledge/": knowledge.BASES,
    "jobs/": jobs.JOBS,
    "versions/": registry.VERSIONS,
    "evaluations/": evaluations.EVALUATIONS,
    "policy-evaluations/": policy_evaluations.EVALUATIONS,
    "aliases/": aliases.ALIASES,
    "quotas/": quotas.QUOTAS,
    "adapters/": adapters.ADAPTERS,
    "actions/": actions.ACTIONS,
    "actions/calls/": actions.CALLS,
    "refusals/": refusals.REFUSALS,
    "notices/": notice_targets.TARGETS,
    "notices/deliveries/": deliveries_of_notices.DELIVERIES,
    "raises/": quotas.RAISES,
    "models/": served_models.RESTRICTED,
    "widget-keys/": widget_keys.WIDGET_KEYS,
    "decisions/reviews/": reviews.REVIEWS,
    "decisions/contests/": contests.CONTESTS,
    "deletions/": deletions.DELETIONS,
    "holds/": legal_holds.HOLDS,
}
OF_PLATFORM: dict[str, Table] = {
    "tenants/": tenant_list.TENANTS,
    "jobs/": jobs.ALL_JOBS,
    "operator-keys/": operator_keys.KEYS,
    "versions/": registry.VERSIONS,
    "reconciliation/": reconciliations.NIGHTS,
    "prices/": prices.PRICES,
    "refusals/": refusals.ALL_REFUSALS,
    "raises/": quotas.ALL_RAISES,
    "notices/": notice_targets.TARGETS,
    "notices/mails/": deliveries_of_notices.MAILS,
    "deletions/": deletions.ALL_DELETIONS,
    "holds/": legal_holds.ALL_HOLDS,
}


@pytest.fixture
def pages_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE", 3)


def walked(client: Client, path: str, sort: str, **query: str) -> list[str]:
    """Returns the names of all rows, page by page."""
    names, cursor = list[str](), ""
    while True:
        table = client.get(path, {"sort": sort, "cursor": cursor, **query}).context["table"]
        assert len(table.rows) <= 3
        names += [row.name for row in table.rows]
        if not (cursor := table.older):
            return names


def rows_of(client: Client, path: str, **query: str) -> list[list[str]]:
    """Returns the lines of the exported file."""
    answer = client.get(path, {"export": "csv", **query})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))


@pytest.mark.usefixtures("pages_of_three")
def test_pages_follow_each_other_in_every_order(alice: Member, sign_in: SignIn) -> None:
    used = {"a": 3, "b": None, "c": 1, "d": 3, "e": None, "f": 2, "g": None}
    now = datetime(2026, 11, 1, tzinfo=UTC)
    for name, day in used.items():
        key, _text = ApiKey.issue(alice.tenant, name, by="test")
        if day:
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now + timedelta(days=day))
    client = sign_in(alice)
    assert walked(client, KEYS, "name") == list("abcdefg")
    assert walked(client, KEYS, "-name") == list("gfedcba")
    up, down = (walked(client, KEYS, sort) for sort in ("last_used", "-last_used"))
    assert (up[:2], sorted(up[2:4]), sorted(up[4:])) == (["c", "f"], ["a", "d"], ["b", "e", "g"])
    assert (sorted(down[:2]), down[2:4], sorted(down[4:])) == (
        ["a", "d"],
        ["f", "c"],
        ["b", "e", "g"],
    )


@pytest.mark.usefixtures("pages_of_three")
def test_a_sum_is_an_order_too_and_a_search_stays_in_its_tenant(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    for tenant in (alice.tenant, charlie.tenant):
        for number in range(5):
            team = Team.form(tenant, f"team {number}", by="test")
            if number % 2 and tenant == alice.tenant:
                team.add(alice, by="test")
    client = sign_in(alice)
    names = walked(client, TEAMS, "-people")
    assert (sorted(names[:2]), len(names)) == (["team 1", "team 3"], 5)
    assert walked(client, TEAMS, "name", q="TEAM 3") == ["team 3"]
    assert walked(client, TEAMS, "name", q="%") == []


def _asked_of_people(alice: Member) -> None:
    """A review with its contest, a deletion request, a hold and a notice."""
    tenant = alice.tenant
    target, _secret = new_target(tenant, "https://hooks.example.com/")
    send_test(target, by=alice.actor)
    new_target(None, "https://hooks.example.com/")
    Notice.objects.create(tenant=tenant, user=alice.user, event="quota.warned", occasion="one")
    Contest.begin(decided(tenant), "It was me", by="key:x")
    deletion.ask(tenant.id, alice.subject_id, by=alice.actor)
    ends = datetime.now(UTC) + timedelta(days=1)
    legal_hold.request(tenant.id, by=alice.actor, reason="dispute", expires_at=ends)


@pytest.mark.usefixtures("pages_of_three")
def test_a_page_in_an_order_of_an_index_begins_where_the_last_one_ended(
    alice: Member, sign_in: SignIn
) -> None:
    for name in "abcdefg":
        ModelAlias.create(alice.tenant, name, "mock" if name < "e" else "other", by="test")
    client = sign_in(alice)
    path = "/console/t/acme/aliases/"
    assert walked(client, path, "name") == list("abcdefg")
    assert walked(client, path, "-name") == list("gfedcba")
    assert sorted(walked(client, path, "model")[:4]) == list("abcd")
    assert walked(client, path, "name", q="other") == list("efg")
    ordered = ModelAlias.objects.order_by("-name")
    query = str(paging.sorted_rows(ordered, "-name", "=d~" + str(uuid4())).query)
    assert "NULLS" not in query
    assert '"name" <= d' in query


def test_people_behind_requests_and_holds_are_found_by_their_address(
    alice: Member, bob: Member, operator: User, sign_in: SignIn
) -> None:
    for member in (alice, bob):
        deletion.ask(alice.tenant.id, member.subject_id, by=alice.actor)
    ends = datetime.now(UTC) + timedelta(days=1)
    of_bob: dict[str, Any] = {"subject_id": bob.subject_id, "expires_at": ends}
    legal_hold.request(alice.tenant.id, by="user:1", reason="dispute", **of_bob)
    readers: dict[str, Member | User] = {"/console/t/acme/": alice, "/console/": operator}
    for base, reader in readers.items():
        client = sign_in(reader)
        head, line = rows_of(client, f"{base}deletions/", q="bob@")
        assert bob.user.email in line
        assert "Whose data" in head
        assert rows_of(client, f"{base}holds/", q="nobody")[1:] == []
        assert bob.user.email in rows_of(client, f"{base}holds/", q="bob@")[1]


def test_the_fullest_quotas_stand_above_many(alice: Member, sign_in: SignIn) -> None:
    path = "/console/t/acme/quotas/"
    for number in range(7):
        Quota.set(alice.tenant, unit="requests", window="day", limit=9, by="t", model=f"m{number}")
    client = sign_in(alice)
    shown = client.get(path, {"sort": "-for"}).context
    assert [line.quota.model for line in shown["lines"]] == [f"m{n}" for n in range(6, -1, -1)]
    assert len(shown["fullest"]) == 5
    (row,) = client.get(path, {"q": "M3"}).context["table"].rows
    assert row.model == "m3"
    assert rows_of(client, path, q="m3")[1] == ["m3", "Requests", "day", "9"]


def test_mails_widget_keys_and_increases_are_found_by_what_is_behind_them(
    alice: Member, bob: Member, operator: User, sign_in: SignIn
) -> None:
    key, _text = ApiKey.issue(alice.tenant, "shop", by="test")
    for name, host in (("front", "a.example.com"), ("back", "b.example.com")):
        WidgetKey.create(alice.tenant, name, uuid4(), key, [f"https://{host}"], by="test")
    for member in (alice, bob):
        Notice.objects.create(
            tenant=alice.tenant, user=member.user, event="quota.warned", occasion="one"
        )
    quota = Quota.set(alice.tenant, unit="tokens", window="day", limit=9, by="t", model="m3")
    ends = datetime.now(UTC) + timedelta(days=1)
    QuotaRaise.ask(quota, 5, "a launch", ends, user=alice.user, by=alice.actor)
    inside, client = "/console/t/acme/", sign_in(alice)
    widgets = f"{inside}widget-keys/"
    assert walked(client, widgets, "name") == ["back", "front"]
    assert walked(client, widgets, "name", q="A.EXAMPLE") == ["front"]
    assert rows_of(client, widgets, q="front")[1][:4] == [
        "front",
        "",
        "shop",
        "https://a.example.com",
    ]
    assert rows_of(client, f"{inside}raises/", q="M3")[1][:5] == (
        ["m3", "Tokens", "day", "5", "a launch"]
    )
    assert rows_of(client, f"{inside}raises/", q="nothing")[1:] == []
    (mail,) = rows_of(sign_in(operator), "/console/notices/mails/", q="bob@")[1:]
    assert mail[0] == "quota.warned"
    assert mail[2] == bob.user.email


def test_restricted_models_stand_above_the_others_with_their_holders(
    alice: Member, sign_in: SignIn
) -> None:
    team = Team.form(alice.tenant, "research", by="test")
    for name in ("gone-1", "gone-2"):
        model_access.restrict(alice.tenant, name, by="test")
    model_access.grant(alice.tenant.restricted_models.get(name="gone-1"), team, by="test")
    client, path = sign_in(alice), "/console/t/acme/models/"
    assert rows_of(client, path)[1][:2] == ["gone-1", "research"]
    assert walked(client, path, "-name", q="gone") == ["gone-2", "gone-1"]
    page = client.get(path).content.decode()
    assert 'href="#model-gone-1"' in page
    assert 'id="model-gone-1"' in page


@pytest.mark.django_db
@pytest.mark.parametrize("number", ["1e999999", "NaN", "Infinity", "1e99999999999999999999"])
def test_a_number_that_no_row_has_is_not_found(number: str) -> None:
    with pytest.raises(Http404):
        paging.sorted_page(Price.objects.all(), "prompt", f"={number}~1")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "=1",
        "~",
        "=2026-01-01~x",
        "=nonsense~1",
        "=\0~1",
        "=2026-01-01~337c1437-e84e-4cda-be77-5474bc41f036",
    ],
)
def test_a_broken_cursor_is_not_found(alice: Member, sign_in: SignIn, cursor: str) -> None:
    answer = sign_in(alice).get(KEYS, {"sort": "created", "cursor": cursor})
    assert answer.status_code in (400, 404)


def test_an_unknown_order_is_that_of_the_table(alice: Member, sign_in: SignIn) -> None:
    for sort in ("digest", "-tenant__name", "password", "?"):
        table = sign_in(alice).get(KEYS, {"sort": sort}).context["table"]
        assert table.sort == "-created"


def test_an_export_has_all_matching_rows_and_is_on_record(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    for name in ("=1+1", "search", "sales"):
        Team.form(alice.tenant, name, by="test")
    Team.form(charlie.tenant, "search theirs", by="test")
    client = sign_in(alice)
    head, *lines = rows_of(client, TEAMS)
    assert head[:2] == ["Team", "Members"]
    assert [line[0] for line in lines] == ["'=1+1", "sales", "search"]
    assert len(rows_of(client, TEAMS, q="search")) == 2
    details = Event.objects.filter(action=Action.TABLE_EXPORT).order_by("id")
    assert [(each.actor, each.detail["rows"]) for each in details] == [
        (alice.actor, 3),
        (alice.actor, 1),
    ]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (0, 0),
        (False, False),
        ("@x", "'@x"),
        ("-1", "'-1"),
        ("\n=1+1", "'\n=1+1"),
        ("＝1+1", "'＝1+1"),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00"),
    ],
)
def test_cells(value: Any, written: Any) -> None:
    assert cell(value) == written


def test_every_table_sorts_by_each_of_its_columns_and_exports_its_rows(
    alice: Member, operator: User, sign_in: SignIn
) -> None:
    furnish(alice)
    _asked_of_people(alice)
    for base, tables, client in (
        ("/console/t/acme/", INSIDE, sign_in(alice)),
        ("/console/", OF_PLATFORM, sign_in(operator)),
    ):
        for path, table in tables.items():
            for number, sort in enumerate(table.sorts):
                order = f"-{sort}" if number % 2 else sort
                shown = client.get(base + path, {"sort": order}).context["table"]
                assert shown.sort == order
                assert shown.rows, path
            lines = rows_of(client, base + path)
            assert len(lines) > 1, path
            assert client.get(base + path, {"q": "nobody has this"}).status_code == 200
    assert Tenant.objects.filter(name="acme").exists()
