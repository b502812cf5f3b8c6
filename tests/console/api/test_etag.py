"""Nobody overwrites what they have not read: ETag, If-Match."""

import threading
from typing import Any

import pytest
from django.db import connection

from tenants.models import ApiKey, Member, Team, TierPolicy
from tests.console.api.conftest import Api, Enter, issued, together


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    return enter(alice)


@pytest.fixture
def team(api: Api) -> str:
    return str(api.post("tenants/acme/teams/", name="search").headers["Location"])


def test_a_change_says_what_it_is_a_change_of(api: Api, team: str) -> None:
    for answer in (api.patch(team, "", name="x"), api.delete(team, "")):
        assert (answer.status_code, answer.json()["type"]) == (
            428,
            "urn:forebay:problem:precondition_required",
        )
    assert Team.objects.get().name == "search"


def test_a_change_of_what_was_is_refused(api: Api, team: str) -> None:
    old = api.get(team).headers["ETag"]
    answer = api.patch(team, old, name="find")
    assert answer.status_code == 200
    for late in (api.patch(team, old, name="x"), api.delete(team, old)):
        assert (late.status_code, late.json()["status"]) == (412, 412)
    assert Team.objects.get().name == "find"
    assert answer.headers["ETag"] == api.get(team).headers["ETag"] != old
    assert api.delete(team, answer.headers["ETag"]).status_code == 204


@pytest.mark.parametrize("tag", ["*", '"other", {tag}', "{tag}"])
def test_several_tags_or_any(api: Api, team: str, tag: str) -> None:
    known = tag.format(tag=api.get(team).headers["ETag"])
    assert api.patch(team, known, name="find").status_code == 200


@pytest.mark.parametrize("tag", ['"other"', "W/{tag}", "", '{tag}"', "nonsense"])
def test_another_tag_is_no_tag(api: Api, team: str, tag: str) -> None:
    known = tag.format(tag=api.get(team).headers["ETag"])
    answer = api.send("patch", team, {"name": "x"}, {"If-Match": known})
    assert answer.status_code == 412


def test_a_key_that_is_used_stays_the_same(api: Api, alice: Member) -> None:
    key, _text = issued(alice.tenant)
    path = f"tenants/acme/keys/{key.pk}/"
    tag = api.get(path).headers["ETag"]
    ApiKey.objects.update(last_used_at="2026-01-01T00:00:00Z")
    assert api.patch(path, tag, name="new").status_code == 200


def test_a_tier_that_no_row_holds_yet(operator: Any, enter: Enter) -> None:
    api = enter(operator)
    tag = api.get("tiers/vip/").headers["ETag"]
    assert api.patch("tiers/vip/", tag, burst=500).json()["burst"] == 500
    assert api.patch("tiers/vip/", tag, burst=600).status_code == 412
    assert TierPolicy.objects.get().burst == 500


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["teams", "limits"])
def test_of_two_who_change_it_at_once_one_wins(
    what: str, alice: Member, operator: Any, enter: Enter
) -> None:
    people = [enter(operator) for _ in range(6)]
    path = "tenants/acme/limits/"
    if what == "teams":
        path = people[0].post("tenants/acme/teams/", name="search").headers["Location"]
    tag = people[0].get(path).headers["ETag"]
    start = threading.Barrier(len(people))
    found: list[tuple[int, int]] = []

    def change(number: int) -> None:
        body = {"name": f"team {number}"} if what == "teams" else {"burst": 100 + number}
        start.wait(10)
        try:
            answer = people[number].patch(path, tag, **body)
            found.append((answer.status_code, number))
        finally:
            connection.close()

    together(change, list(range(len(people))))
    assert sorted(status for status, _number in found) == [200, *[412] * 5]
    ((_status, winner),) = [one for one in found if one[0] == 200]
    said = people[0].get(path).json()
    assert said.get("name", said.get("burst")) in (f"team {winner}", 100 + winner)
