"""The input of a stored response, page by page."""

from typing import Any

import httpx
import pytest

from tests.inference.api.responses.stored.asking import create, items

INPUT = [{"role": "user", "content": f"number {n}"} for n in range(5)]


def words(page: dict[str, Any]) -> list[str]:
    return [item["content"][0]["text"].removeprefix("number ") for item in page["data"]]


async def page(client: httpx.AsyncClient, response: Any, **query: Any) -> dict[str, Any]:
    reply = await items(client, response, **query)
    assert reply.status_code == 200, reply.text
    listed: dict[str, Any] = reply.json()
    return listed


async def test_the_newest_come_first(alice: httpx.AsyncClient) -> None:
    created = await create(alice, input=INPUT)
    listed = await page(alice, created)
    assert (listed["object"], listed["has_more"]) == ("list", False)
    assert words(listed) == ["4", "3", "2", "1", "0"]
    assert (listed["first_id"], listed["last_id"]) == (
        listed["data"][0]["id"],
        listed["data"][-1]["id"],
    )


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_join_to_the_whole(alice: httpx.AsyncClient, order: str) -> None:
    created = await create(alice, input=INPUT)
    read, after = list[str](), dict[str, str]()
    for more in (True, True, False):
        listed = await page(alice, created, limit=2, order=order, **after)
        assert listed["has_more"] is more
        read += words(listed)
        after = {"after": listed["last_id"]}
    assert read == sorted(read, reverse=order == "desc")
    assert len(read) == len(INPUT)
    nothing = await page(alice, created, order=order, **after)
    assert (nothing["data"], nothing["first_id"], nothing["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"order": "random"}, "order"),
        ({"after": "msg_of_nobody"}, "after"),
        ({"include": "everything"}, "include"),
        ({"before": "msg_1"}, "before"),
    ],
)
async def test_odd_parameters(alice: httpx.AsyncClient, query: dict[str, Any], param: str) -> None:
    reply = await items(alice, await create(alice), **query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_text_is_a_message_of_the_user(alice: httpx.AsyncClient) -> None:
    (item,) = (await page(alice, await create(alice, input="Hello")))["data"]
    assert (item["type"], item["role"]) == ("message", "user")
    assert item["content"] == [{"type": "input_text", "text": "Hello"}]
    assert item["id"].startswith("msg_")


async def test_items_with_one_id_are_told_apart(alice: httpx.AsyncClient) -> None:
    """A page that began behind one of two would never come to an end."""
    same = [{**item, "id": "msg_same"} for item in INPUT]
    created = await create(alice, input=same)
    listed = await page(alice, created, order="asc")
    assert words(listed) == ["0", "1", "2", "3", "4"]
    assert listed["first_id"] == "msg_same"
    assert len({item["id"] for item in listed["data"]}) == len(INPUT)
