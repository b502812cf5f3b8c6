"""Which models are open or restricted in a tenant, and to whom they are granted."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from inference.engines import forget
from tenants import model_access
from tenants.models import ApiKey, Member, RestrictedModel, Team
from tests.console.conftest import SignIn

MODELS = "/console/t/acme/models/"


@pytest.fixture
def team(alice: Member) -> Team:
    return Team.form(alice.tenant, "risk", by="test")


def test_restrict_grant_withdraw_open(alice: Member, team: Team, sign_in: SignIn) -> None:
    client, token = sign_in(alice), f"team:{team.pk}"
    key = ApiKey.issue(alice.tenant, "ci", by="test")[0]
    client.post(f"{MODELS}restriction/", {"model": "mock"})
    restricted = RestrictedModel.objects.get()
    assert "nobody in this tenant can use it" in client.get(MODELS).content.decode()
    client.post(f"{MODELS}granting/", {"model": "mock", "holder": token})
    client.post(f"{MODELS}granting/", {"model": "mock", "holder": f"key:{key.pk}"})
    assert model_access.holders(restricted) == [team, key]
    client.post(f"{MODELS}withdrawal/", {"model": "mock", "holder": token})
    assert model_access.holders(restricted) == [key]
    answer = client.post(f"{MODELS}opening/", {"model": "mock"}, follow=True)
    assert "mock is open to everyone in the tenant." in answer.content.decode()
    assert not RestrictedModel.objects.exists()


@pytest.fixture
def hosted(settings: Any) -> Iterator[str]:
    elsewhere = {"kind": "openai", "url": "https://api.example/v1", "hosted": True}
    settings.ENGINES = {"elsewhere": elsewhere}
    forget()
    yield "elsewhere"
    forget()


def test_a_hosted_model_is_not_open_where_no_prompt_leaves(
    alice: Member, sign_in: SignIn, hosted: str
) -> None:
    client = sign_in(alice)
    assert _badge(client.get(MODELS).content.decode()) == "open"
    alice.tenant.change(by="test", local_only=True)
    assert _badge(client.get(MODELS).content.decode()) == "hosted: not for this tenant"
    model_access.restrict(alice.tenant, hosted, by="test")
    page = client.get(MODELS).content.decode()
    assert _badge(page) == "hosted: not for this tenant"
    assert "Open to all" in page, "what was restricted before can be opened"


def _badge(page: str) -> str:
    found = re.search(r'<span class="badge [^>]*>([^<]*)</span>', page)
    assert found
    return found[1]


def test_a_model_that_nobody_serves_cannot_be_restricted(alice: Member, sign_in: SignIn) -> None:
    assert sign_in(alice).post(f"{MODELS}restriction/", {"model": "gpt-9"}).status_code == 404
    assert sign_in(alice).post(f"{MODELS}restriction/").status_code == 404


@pytest.mark.parametrize("holder", ["", "team:x", "key:", "member:1", "team"])
def test_a_holder_that_makes_no_sense(alice: Member, sign_in: SignIn, holder: str) -> None:
    model_access.restrict(alice.tenant, "mock", by="test")
    client = sign_in(alice)
    granted = client.post(f"{MODELS}granting/", {"model": "mock", "holder": holder})
    assert "invalid-feedback" in granted.content.decode()
    withdrawn = client.post(f"{MODELS}withdrawal/", {"model": "mock", "holder": holder})
    assert withdrawn.status_code == 404


def test_another_tenants_team_and_grants_stay_out_of_reach(
    alice: Member, charlie: Member, sign_in: SignIn
) -> None:
    theirs = Team.form(charlie.tenant, "theirs", by="test")
    walled = model_access.restrict(charlie.tenant, "mock", by="test")
    model_access.grant(walled, theirs, by="test")
    client, token = sign_in(alice), f"team:{theirs.pk}"
    assert client.post(f"{MODELS}opening/", {"model": "mock"}).status_code == 404
    model_access.restrict(alice.tenant, "mock", by="test")
    page = client.post(f"{MODELS}granting/", {"model": "mock", "holder": token})
    assert "invalid-feedback" in page.content.decode()
    gone = client.post(f"{MODELS}withdrawal/", {"model": "mock", "holder": token})
    assert gone.status_code == 404
    assert model_access.holders(walled) == [theirs]
    assert "theirs" not in client.get(MODELS).content.decode()
