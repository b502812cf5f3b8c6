"""The overview's figures of a day, a week or a month, and of the same time before."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

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
