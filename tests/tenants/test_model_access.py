"""Who may use a restricted model: teams and keys that were granted it, and nobody else."""

import pytest
from channels.db import database_sync_to_async as in_database
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from audit.models import Event
from tenants.authentication.authenticator import Authenticator, UnknownCaller
from tenants.model_access import grant, holders, open_to_all, restrict, withdraw
from tenants.models import ApiKey, Member, RestrictedModel, Team, Tenant, User
from tenants.roles import Role


@pytest.fixture
def team(acme: Tenant) -> Team:
    return Team.form(acme, "research", by="test")


@pytest.fixture
def key(acme: Tenant) -> ApiKey:
    return ApiKey.issue(acme, "ci", by="test")[0]


def test_granted_and_withdrawn(acme: Tenant, team: Team, key: ApiKey) -> None:
    restricted = restrict(acme, "qwen", by="test")
    for _ in range(2):
        grant(restricted, team, by="test")
        grant(restricted, key, by="test")
    assert holders(restricted) == [team, key]
    for _ in range(2):
        withdraw(restricted, team, by="test")
    assert holders(restricted) == [key]
    acts = Event.objects.filter(action__startswith="model:").order_by("id")
    assert [(event.action, event.detail.get("name")) for event in acts] == [
        ("model:restrict", None),
        ("model:grant", "research"),
        ("model:grant", "ci"),
        ("model:withdraw", "research"),
    ]


def test_a_key_has_a_group_of_its_own_from_its_first_grant(acme: Tenant, key: ApiKey) -> None:
    assert key.group is None
    for model in ("a", "b"):
        grant(restrict(acme, model, by="test"), key, by="test")
    key.refresh_from_db()
    assert Group.objects.get() == key.group


def test_open_to_all_forgets_the_grants(acme: Tenant, team: Team) -> None:
    grant(restrict(acme, "qwen", by="test"), team, by="test")
    for _ in range(2):
        open_to_all(acme, "qwen", by="test")
    assert not RestrictedModel.objects.exists()
    assert holders(restrict(acme, "qwen", by="test")) == []
    assert Event.objects.filter(action="model:open").count() == 1


def test_restricted_twice_is_restricted_once(acme: Tenant, globex: Tenant) -> None:
    assert restrict(acme, "qwen", by="test") == restrict(acme, " qwen ", by="test")
    assert restrict(globex, "qwen", by="test").tenant == globex
    assert Event.objects.filter(action="model:restrict").count() == 2
    for bad in ("", "  ", "x" * 121):
        with pytest.raises(ValidationError):
            restrict(acme, bad, by="test")


def test_strangers_hold_nothing(acme: Tenant, globex: Tenant, team: Team, key: ApiKey) -> None:
    theirs = restrict(globex, "qwen", by="test")
    for holder in (team, key):
        for act in (grant, withdraw):
            with pytest.raises(ValidationError):
                act(theirs, holder, by="test")
    assert holders(theirs) == []


def test_a_disbanded_team_holds_nothing(acme: Tenant, team: Team) -> None:
    restricted = restrict(acme, "qwen", by="test")
    grant(restricted, team, by="test")
    team.disband(by="test")
    assert holders(restricted) == []


async def test_what_authentication_makes_of_it(
    authenticator: Authenticator, acme: Tenant, team: Team
) -> None:
    def prepared() -> tuple[str, str, str, Member, Member]:
        restricted = restrict(acme, "qwen", by="test")
        grant(restricted, team, by="test")
        inside, outside = (
            acme.add_member(User.objects.create_user(f"{n}@x.example"), Role.MEMBER, by="test")
            for n in ("in", "out")
        )
        team.add(inside, by="test")
        granted, text = ApiKey.issue(acme, "granted", by="test")
        grant(restricted, granted, by="test")
        return (
            text,
            ApiKey.issue(acme, "of the team", by="test", team=team)[1],
            ApiKey.issue(acme, "bare", by="test")[1],
            inside,
            outside,
        )

    granted, of_team, bare, inside, outside = await in_database(prepared)()
    for caller in [
        await authenticator.by_key(granted),
        await authenticator.by_key(of_team),
        await authenticator.by_member(inside.id),
    ]:
        assert caller.may_use("qwen")
        assert caller.may_use("other")
    for caller in [await authenticator.by_key(bare), await authenticator.by_member(outside.id)]:
        assert not caller.may_use("qwen")
        assert caller.may_use("other")


async def test_a_revoked_key_opens_nothing_whatever_it_holds(
    authenticator: Authenticator, acme: Tenant, key: ApiKey
) -> None:
    def prepared() -> str:
        made, text = ApiKey.issue(acme, "granted", by="test")
        grant(restrict(acme, "qwen", by="test"), made, by="test")
        made.revoke(by="test")
        return text

    text = await in_database(prepared)()
    with pytest.raises(UnknownCaller):
        await authenticator.by_key(text)
