"""A team's budgets are set and shown on its page."""

import pytest

from tenants.models import Member, Quota, Team
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
