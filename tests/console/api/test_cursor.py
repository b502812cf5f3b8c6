"""Pages: whole, without doubles, bound to what they were asked for."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.models import ApiKey, Member
from tests.console.api.conftest import Api, Enter, errors, issued

KEYS = "tenants/acme/keys/"


@pytest.fixture
def api(alice: Member, enter: Enter) -> Api:
    """Over seven keys, of which three were made in the same moment."""
    moment = timezone.now()
    for number in range(7):
        key, _text = issued(alice.tenant)
        at = moment - timedelta(minutes=max(0, number - 2))
        ApiKey.objects.filter(pk=key.pk).update(created_at=at, name=f"k{number % 4}")
    return enter(alice)


def walk(api: Api, **query: str) -> list[str]:
    found, cursor = [], ""
    for _page in range(10):
        said = api.get(KEYS, **query, **({"cursor": cursor} if cursor else {})).json()
        assert len(said["results"]) <= int(query["limit"])
        found += [key["id"] for key in said["results"]]
        cursor = said["next_cursor"]
        if cursor is None:
            return found
    raise AssertionError("it never ends")


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "name", "-name"])
@pytest.mark.parametrize("limit", ["1", "2", "3", "7", "200"])
def test_every_row_comes_once_and_in_order(api: Api, ordering: str, limit: str) -> None:
    sign = "-" if ordering.startswith("-") else ""
    rows = ApiKey.objects.order_by(ordering, f"{sign}pk").values_list("pk", flat=True)
    assert walk(api, ordering=ordering, limit=limit) == [str(pk) for pk in rows]


def test_rows_that_come_meanwhile_neither_double_nor_drop_others(api: Api, alice: Member) -> None:
    first = api.get(KEYS, limit="3").json()
    issued(alice.tenant)
    rest = api.get(KEYS, cursor=first["next_cursor"]).json()
    ids = [key["id"] for key in first["results"] + rest["results"]]
    assert len(ids) == len(set(ids)) == 7


def test_a_cursor_opens_only_the_list_it_was_made_for(api: Api) -> None:
    cursor = api.get(KEYS, limit="2", name="k").json()["next_cursor"]
    assert api.get(KEYS, limit="5", name="k", cursor=cursor).status_code == 200
    for other in (
        {},
        {"name": "k1"},
        {"name": "k", "ordering": "name"},
        {"name": "k", "state": "live"},
    ):
        assert list(errors(api.get(KEYS, cursor=cursor, **other))) == ["cursor"]
    assert list(errors(api.get("tenants/acme/teams/", cursor=cursor))) == ["cursor"]


def test_a_changed_cursor_is_refused(api: Api) -> None:
    cursor = api.get(KEYS, limit="2").json()["next_cursor"]
    forged = [cursor[:-1], cursor + "x", "x" + cursor, cursor.swapcase(), "abc", "a:b", "a:b:c"]
    for text in forged:
        answer = api.get(KEYS, cursor=text)
        assert (answer.status_code, list(errors(answer))) == (400, ["cursor"]), text


@pytest.mark.parametrize(
    "limit", ["000100" + "0" * 4400, "000100999", "0100", "201", "0", "-1", ""]
)
def test_a_limit_is_a_number_to_200(api: Api, limit: str) -> None:
    said = api.get(KEYS, limit=limit)
    assert said.status_code == 400
    assert "limit" in errors(said)
