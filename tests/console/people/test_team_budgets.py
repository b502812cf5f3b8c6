"""A team's budgets are set and shown on its page."""

from typing import Any

import pytest

from audit.actions import Action
from audit.models import Event
from tenants.models import Member, Quota, Team, User
from tests.console.conftest import SignIn


@pytest.fixture
def team(alice: Member) -> Team:
    return Team.form(alice.tenant, "Search", by=alice.actor)


def address(team: Team, rest: str = "") -> str:
    return f"/console/t/acme/teams/{team.pk}/{rest}"


def test_a_budget_is_set_changed_and_shown_with_what_is_left(
    alice: Member, team: Team, sign_in: SignIn
) -> None:
    client, form = sign_in(alice), {"limit": "12.5", "unit": "cost", "window": "month"}
    assert "No budget" in client.get(address(team)).content.decode()
    client.post(address(team, "budget/"), form)
    shown = client.post(address(team, "budget/"), {**form, "limit": "20"}, follow=True)
    assert "The budget has been set" in shown.content.decode()
    assert "20.00 left" in shown.content.decode()
    quota = Quota.objects.get()
    assert (quota.team, quota.limit, quota.set_by_platform) == (team, 20_000_000, False)
    assert "Search" in client.get("/console/t/acme/quotas/").content.decode()


@pytest.mark.parametrize(("field", "value"), [("limit", "-1"), ("limit", ""), ("unit", "hours")])
def test_an_error_stands_beside_its_field(
    alice: Member, team: Team, sign_in: SignIn, field: str, value: str
) -> None:
    form = {"limit": "10", "unit": "tokens", "window": "day", field: value}
    answer = sign_in(alice).post(address(team, "budget/"), form)
    assert list(answer.context["budget_form"].errors) == [field]
    assert not Quota.objects.exists()


def test_only_who_manages_quotas_sets_it(bob: Member, team: Team, sign_in: SignIn) -> None:
    form = {"limit": "10", "unit": "tokens", "window": "day"}
    assert sign_in(bob).post(address(team, "budget/"), form).status_code == 403


def budget_of(team: Team, *, platform: bool = False) -> Quota:
    limit: dict[str, Any] = {"unit": "tokens", "window": "day", "limit": 9}
    return Quota.set(team.tenant, team=team, by="test", platform=platform, **limit)


def test_only_an_operator_disbands_a_team_with_a_budget_of_the_platforms(
    alice: Member, operator: User, team: Team, sign_in: SignIn
) -> None:
    budget_of(team, platform=True)
    text = sign_in(alice).post(address(team, "disbanding/"), follow=True).content.decode()
    assert "The platform has set this quota" in text
    assert Quota.objects.filter(team=team).exists()
    sign_in(operator).post(address(team, "disbanding/"))
    assert not Team.objects.exists()


def test_a_budget_that_ends_with_its_team_is_on_record(
    alice: Member, team: Team, sign_in: SignIn
) -> None:
    budget = budget_of(team)
    sign_in(alice).post(address(team, "disbanding/"))
    assert not Quota.objects.exists()
    event = Event.objects.get(action=Action.QUOTA_DELETE)
    assert (event.actor, event.detail["quota"]) == (alice.actor, str(budget.pk))
