"""The overview's figures of a day, a week or a month, and of the same time before."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from console.reader_time_zone import COOKIE
from inference.usage import rollup
from tenants.models import ApiKey, Member
from tests.console.conftest import SignIn
from tests.inference.usages import used

PART = "/console/t/acme/trends/"


def test_now_and_before_by_model_key_and_person(
    alice: Member, sign_in: SignIn, settings: Any
) -> None:
    settings.CURRENCY = "EUR"
    key, _ = ApiKey.issue(alice.tenant, "fraud scoring", by="test")
    now, before = timezone.now(), timezone.now() - timedelta(days=8)
    for _n in range(3):
        used(alice.tenant, now, api_key_id=key.pk, cost=1_000_000)
    used(alice.tenant, before, model="other", cost=500_000)
    rollup.roll_up()
    answer = sign_in(alice).get(PART, {"range": "7d"})
    trends = {trend.name: trend for trend in answer.context["trends"]}
    assert (trends["requests"].now, trends["requests"].before) == (3, 1)
    assert trends["requests"].change == 200
    assert trends["cost"].now == 3_000_000
    page = answer.content.decode()
    for text in ("Cost, EUR", "3.00", "fraud scoring", "before 1", "+200 %"):
        assert text in page
    names = [[line.group.name.text for line in t.lines] for t in answer.context["tables"]]
    assert names == [["smollm2"], ["fraud scoring"], ["no member"]]


def test_each_figure_has_a_chart_beside_the_time_before_and_a_table(
    alice: Member, sign_in: SignIn
) -> None:
    now, before = timezone.now(), timezone.now() - timedelta(days=7)
    for _n in range(3):
        used(alice.tenant, now, cost=1_000_000)
    used(alice.tenant, before, cost=500_000)
    rollup.roll_up()
    browser = sign_in(alice)
    for address in (PART, "/console/t/acme/"):
        answer = browser.get(address, {"range": "7d"})
        requests = answer.context["trends"][0].chart
        assert [(c.now, c.before) for c in requests.columns] == [(0, 0)] * 6 + [(3, 1)]
        assert requests.line.split()[-1] == "278.6,4.0"
        page = answer.content.decode()
        assert page.count('class="trend-now"') == page.count('class="trend-before"') == 3
        assert page.count('id="trends-table"') == 1
        table = page.split('id="trends-table"')[1].split("</table>")[0]
        *_days, today = table.split("<tr>")
        cells = [text.split("<")[0] for text in today.replace("</a>", "").split(">")]
        assert [text for text in cells if text.strip()][1:9] == (
            ["3", "1", "138", "46", "3.00", "0.5000", "0", "0"]
        )
    day = requests.columns[-1]
    assert day.url.startswith("/console/t/acme/requests/?since=")
    assert browser.get(day.url).status_code == 200


def test_hours_are_the_readers_and_days_the_tenants(alice: Member, sign_in: SignIn) -> None:
    alice.tenant.change(by="test", time_zone="America/New_York")
    browser = sign_in(alice)
    browser.cookies[COOKIE] = "Asia/Shanghai"
    for name, zone in (("24h", "Asia/Shanghai"), ("7d", "America/New_York")):
        answer = browser.get(PART, {"range": name})
        form = "%m-%d %H:%M" if name == "24h" else "%m-%d"
        now = timezone.now().replace(minute=0).astimezone(ZoneInfo(zone))
        assert answer.context["trends"][0].chart.columns[-1].label == now.strftime(form)
        assert f"Days and hours of usage are in {zone}." in answer.content.decode()


def test_nothing_before_has_no_change(alice: Member, sign_in: SignIn) -> None:
    used(alice.tenant, timezone.now())
    rollup.roll_up()
    trends = sign_in(alice).get(PART).context["trends"]
    assert [trend.change for trend in trends] == [None] * 4


@pytest.mark.parametrize("name", ["24h", "7d", "30d", "nonsense"])
def test_an_unknown_time_is_a_week(alice: Member, sign_in: SignIn, name: str) -> None:
    answer = sign_in(alice).get(PART, {"range": name})
    names = [trend.name for trend in answer.context["trends"]]
    assert names == ["requests", "tokens", "cost", "errors"]
    assert answer.context["span"] == (name if name != "nonsense" else "7d")
