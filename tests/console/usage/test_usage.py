"""The usage pages and their files: who sees what, and that it is the roll-ups they show."""

import csv
import html
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.actions import Action
from audit.models import Event
from console.usage import usage_pages as page_of_usage
from inference.usage import rollup
from tenants.models import ApiKey, Member, Tenant, User
from tenants.roles import Role
from tests.console.conftest import BACKEND, SignIn, join
from tests.console.page_sources import INLINE, LOADS, is_file
from tests.inference.usages import use, used

PAGE, ALL = "/console/t/acme/usage/", "/console/usage/"


def recently(tenant: Tenant, **changes: Any) -> None:
    used(tenant, timezone.now(), **changes)


def test_a_tenants_page(alice: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(alice.tenant, "fraud scoring", by="test")
    recently(alice.tenant, api_key_id=key.id, prompt_tokens=12_345, cost=2_500_000)
    recently(alice.tenant, status=502, finish_reason="error", error_code="engine_failed")
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, {"by": "key"}).content.decode()
    for said in ("fraud scoring", "12,345", "2.50", "no key", "50.0 %", "Includes usage up to"):
        assert said in page
    chart = orjson.loads(html.unescape(re.findall(r'data-usage="([^"]*)"', page)[0]))
    assert len(chart["labels"]) == 7
    assert (sum(chart["requests"]), sum(chart["errors"])) == (2, 1)
    assert chart["ttft_p50"][0] is None


def test_what_left_the_house_is_told_with_its_cost(alice: Member, sign_in: SignIn) -> None:
    recently(alice.tenant, cost=2_500_000)
    recently(alice.tenant, hosted=True, cost=1_250_000)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE).content.decode()
    assert "left this installation: 1, cost 1.25" in page


def test_the_charts_are_there_as_a_table(alice: Member, sign_in: SignIn) -> None:
    recently(alice.tenant)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE)
    shown = page.content.decode()
    for point in page.context["points"]:
        assert f'<th scope="row" class="moment fw-normal">{point.label}</th>' in shown
    assert 'aria-hidden="true"' in re.findall(r'<div class="chart [^>]*>', shown)[0]


def test_raw_rows_are_not_read(alice: Member, sign_in: SignIn, operator: User) -> None:
    recently(alice.tenant)
    rollup.roll_up()
    clients = (sign_in(alice), PAGE), (sign_in(operator), ALL)
    for client, url in clients:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(url, {"range": "24h"}).status_code == 200
        statements = [query["sql"] for query in asked.captured_queries]
        assert any("inference_usagehour" in sql for sql in statements)
        for sql in statements:
            if "rated_at" not in sql:  # ratings have an index of their own, and are few
                assert not re.search(r"inference_usage\b|inference_completion\b", sql)


def test_nothing_used_says_so(alice: Member, sign_in: SignIn) -> None:
    page = sign_in(alice).get(PAGE).content.decode()
    assert "No usage in this period" in page
    assert "data-usage=" not in page


@pytest.mark.parametrize("range_", ["24h", "7d", "30d", "month", "custom"])
def test_every_range(alice: Member, sign_in: SignIn, range_: str) -> None:
    recently(alice.tenant)
    used(alice.tenant, timezone.now() - timedelta(days=40))
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, {"range": range_})
    assert page.context["total"].requests == 1


def test_days_of_ones_own_choice(alice: Member, sign_in: SignIn) -> None:
    today = timezone.now().date()
    for ago in (50, 40, 30):
        used(alice.tenant, timezone.now() - timedelta(days=ago))
    rollup.roll_up()
    first, last = today - timedelta(days=45), today - timedelta(days=35)
    page = sign_in(alice).get(PAGE, {"range": "custom", "first": str(first), "last": str(last)})
    assert page.context["total"].requests == 1


@pytest.mark.parametrize(
    "given",
    [
        {"range": "century"},
        {"range": "custom", "first": "2026-02-02", "last": "2026-02-01"},
        {"range": "custom", "first": "2020-01-01", "last": "2026-02-01"},
        {"range": "custom", "last": "9999-12-31"},
        {"range": "custom", "first": "0001-01-01", "last": "0001-01-02"},
        {"range": "custom", "first": "yesterday"},
        {"by": "tenant"},
        {"by": "colour"},
        {"sort": "-id"},
        {"key": "1"},
        {"model": "m" * 200},
    ],
)
def test_nonsense_is_told_not_believed(
    alice: Member, sign_in: SignIn, given: dict[str, str]
) -> None:
    recently(alice.tenant)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, given)
    assert page.status_code == 200
    assert "Please correct the filter" in page.content.decode()
    assert sign_in(alice).get(f"{PAGE}export/", given).status_code == 404


def test_a_group_leads_to_itself_and_back(alice: Member, sign_in: SignIn) -> None:
    key, _ = ApiKey.issue(alice.tenant, "ci", by="test")
    recently(alice.tenant, api_key_id=key.id, model="a")
    recently(alice.tenant, model="b")
    rollup.roll_up()
    client = sign_in(alice)
    page = client.get(PAGE, {"by": "key", "range": "24h"})
    (line,) = [line for line in page.context["lines"] if line.group.name.text == "ci"]
    narrowed = client.get(PAGE + line.url)
    assert [line.group.name.text for line in narrowed.context["lines"]] == ["a"]
    assert narrowed.context["form"]["range"].value() == "24h"
    (chip,) = narrowed.context["chips"]
    assert chip.name.text == "ci"
    assert client.get(PAGE + chip.url).context["total"].requests == 2


def test_sorting(alice: Member, sign_in: SignIn) -> None:
    recently(alice.tenant, model="a", cost=1)
    recently(alice.tenant, model="b", cost=2)
    rollup.roll_up()
    client = sign_in(alice)
    page = client.get(PAGE, {"sort": "cost"})
    assert [line.group.id for line in page.context["lines"]] == ["b", "a"]
    assert 'aria-sort="descending"' in page.content.decode()
    (requests,) = [head for head in page.context["heads"] if str(head.label) == "Requests"]
    assert client.get(PAGE + requests.url).context["form"]["sort"].value() == "requests"


def test_a_tenant_sees_itself_only(alice: Member, globex: Tenant, sign_in: SignIn) -> None:
    theirs, _ = ApiKey.issue(globex, "secret plans", by="test")
    recently(globex, api_key_id=theirs.id, model="their-model")
    recently(alice.tenant)
    rollup.roll_up()
    client = sign_in(alice)
    for given in ({}, {"by": "key"}, {"key": str(theirs.id)}, {"tenant": str(globex.id)}):
        page = client.get(PAGE, given).content.decode()
        for secret in ("globex", "secret plans", "their-model"):
            assert secret not in page
    assert client.get(PAGE, {"tenant": str(globex.id)}).context["total"].requests == 1
    assert client.get("/console/t/globex/usage/").status_code == 404
    assert client.get("/console/t/globex/usage/export/").status_code == 404
    assert client.get(ALL).status_code == 403
    assert client.get(f"{ALL}export/").status_code == 403


def test_who_chats_only_sees_no_usage(dave: Member, sign_in: SignIn) -> None:
    client = sign_in(dave)
    assert client.get(PAGE).status_code == 403
    assert client.get(f"{PAGE}export/").status_code == 403
    assert not Event.objects.filter(action=Action.USAGE_EXPORT).exists()


def test_an_operator_sees_all_tenants(
    acme: Tenant, globex: Tenant, operator: User, sign_in: SignIn
) -> None:
    recently(acme)
    recently(globex)
    recently(globex)
    rollup.roll_up()
    client = sign_in(operator)
    page = client.get(ALL)
    assert [line.group.name.text for line in page.context["lines"]] == ["globex", "acme"]
    there = client.get(page.context["lines"][0].url)
    assert there.context["total"].requests == 2
    assert there.wsgi_request.path == "/console/t/globex/usage/"
    narrowed = client.get(ALL, {"tenant": str(acme.id), "by": "model"})
    assert narrowed.context["total"].requests == 1
    assert [chip.name.text for chip in narrowed.context["chips"]] == ["acme"]


def test_usage_by_adapter_on_the_page_and_in_the_api(
    alice: Member, operator: User, sign_in: SignIn
) -> None:
    recently(alice.tenant, model="base", adapter="support")
    recently(alice.tenant, model="base")
    rollup.roll_up()
    client = sign_in(alice)
    shown = client.get(PAGE, {"by": "adapter"})
    assert {line.group.name.text for line in shown.context["lines"]} == {
        "base:support",
        "no adapter",
    }
    only = client.get(PAGE, {"by": "key", "adapter": "base:support"})
    assert only.context["total"].requests == 1
    assert "base:support" in only.content.decode()
    api = "/api/v1/tenants/acme/usage/"
    groups = client.get(api, {"by": "adapter"}).json()["groups"]
    assert {group["id"]: group["requests"] for group in groups} == {"base:support": 1, "none": 1}
    assert client.get(api, {"adapter": "none"}).json()["total"]["requests"] == 1
    # Two tenants may have adapters of one name.
    assert sign_in(operator).get("/api/v1/usage/", {"by": "adapter"}).status_code == 400


def test_more_groups_than_a_page_holds(
    alice: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_of_usage, "MOST_GROUPS", 2)
    for n in range(3):
        recently(alice.tenant, model=f"m{n}")
    rollup.roll_up()
    page = sign_in(alice).get(PAGE)
    assert len(page.context["lines"]) == 2
    assert "The file has all of them" in page.content.decode()


def test_no_inline_script_or_style(alice: Member, sign_in: SignIn) -> None:
    recently(alice.tenant)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, {"by": "key", "model": "smollm2"}).content.decode()
    assert not INLINE.search(page)
    for target in LOADS.findall(page):
        assert target.startswith("/")
        if target.startswith("/static/"):
            assert is_file(target), target


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "' onload=x", "{{7*7}}"])
def test_a_models_name_is_text(alice: Member, sign_in: SignIn, text: str) -> None:
    recently(alice.tenant, model=text)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, {"model": text}).content.decode()
    assert "<script>alert" not in page
    assert "onload=x'" not in page
    assert html.escape(text) in page


# Files ------------------------------------------------------------------------------------------
@pytest.fixture
async def streaming(transactional_db: None) -> AsyncIterator[None]:
    """Answers come from another thread, whose connection must not outlive the test."""
    yield
    await sync_to_async(lambda: connection.close())()


async def fetched(who: User, url: str) -> tuple[Any, bytes]:
    client = AsyncClient()
    await client.aforce_login(who, BACKEND)
    answer: Any = await client.get(url)
    pieces = [piece async for piece in answer.streaming_content]
    return answer, b"".join(pieces)


async def test_a_file_is_streamed_and_on_record(streaming: None) -> None:
    alice = await sync_to_async(_some_usage)()
    answer, body = await fetched(alice.user, f"{PAGE}export/?by=model&range=7d")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="usage-acme-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d-by-model\.csv"',
        answer["Content-Disposition"],
    )
    rows = list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))
    assert [(row["model"], row["requests"]) for row in rows] == [("smollm2", "2")]
    event = await Event.objects.aget(action=Action.USAGE_EXPORT)
    assert (event.actor, event.tenant_id) == (alice.actor, alice.tenant_id)
    assert event.detail["file"] in answer["Content-Disposition"]


async def test_an_operators_file_holds_all_tenants(streaming: None) -> None:
    await sync_to_async(_some_usage)()
    operator = await User.objects.acreate(email="op@forebay.example", is_operator=True)
    answer, body = await fetched(operator, f"{ALL}export/?by=tenant&format=json")
    assert answer["Content-Type"] == "application/json"
    assert {row["tenant"]: row["requests"] for row in orjson.loads(body)} == {
        "acme": 2,
        "globex": 1,
    }
    event = await Event.objects.aget(action=Action.USAGE_EXPORT)
    assert (event.actor, event.tenant_id) == (operator.actor, None)


def _some_usage() -> Member:
    acme, globex = Tenant.open("acme", by="test"), Tenant.open("globex", by="test")
    alice = join(acme, "alice@acme.example", Role.OWNER)
    for tenant in (acme, acme, globex):
        use(tenant, created_at=timezone.now())
    rollup.roll_up()
    return alice


def test_what_is_not_on_record_is_not_sent(
    alice: Member, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any, **_named: Any) -> None:
        raise RuntimeError("the audit trail is away")

    monkeypatch.setattr(page_of_usage, "act", away)
    with pytest.raises(RuntimeError, match="away"):
        sign_in(alice).get(f"{PAGE}export/")


def test_there_are_two_kinds_of_files(alice: Member, sign_in: SignIn) -> None:
    assert sign_in(alice).get(f"{PAGE}export/?format=xlsx").status_code == 404


def test_an_id_that_is_nobodys(alice: Member, sign_in: SignIn) -> None:
    recently(alice.tenant)
    rollup.roll_up()
    page = sign_in(alice).get(PAGE, {"member": str(uuid4())})
    assert page.context["total"].requests == 0
    assert "No usage in this period" in page.content.decode()
