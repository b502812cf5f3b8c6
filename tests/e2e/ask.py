"""A tenant's client, and a look at what the platform has put on record."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import psycopg
from django.conf import settings
from psycopg.rows import dict_row

from tests.e2e.conftest import Platform

HI = [{"role": "user", "content": "Say hi."}]


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "mock", "messages": HI, **fields}


def client(platform: Platform, key: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key or platform.key}"}
    return httpx.Client(base_url=platform.url, headers=headers, timeout=60)


def chat(platform: Platform, **fields: Any) -> httpx.Response:
    with client(platform) as asking:
        return asking.post("/v1/chat/completions", json=body(**fields))


@contextmanager
def stream(platform: Platform, **fields: Any) -> Iterator[httpx.Response]:
    with (
        client(platform) as asking,
        asking.stream("POST", "/v1/chat/completions", json=body(stream=True, **fields)) as answer,
    ):
        yield answer


def events(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """(id, data) of each server-sent event."""
    number = 0
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield number, line[6:]


class Record:
    """What stands in the database about one request."""

    def __init__(self, platform: Platform, request_id: str) -> None:
        self.id = UUID(request_id.removeprefix("chatcmpl-"))
        self._dsn = platform.running()["DATABASE_URL"]

    def usage(self) -> list[dict[str, Any]]:
        return self._rows("select * from inference_usage where completion_id = %s")

    def actions(self) -> list[str]:
        query = "select action from audit_event where request_id = %s order by id"
        return [row["action"] for row in self._rows(query)]

    def state(self) -> str:
        return str(self._rows("select state from inference_completion where id = %s")[0]["state"])

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._dsn, row_factory=dict_row, **settings.SEES_ALL) as connection:
            return connection.execute(query, (self.id,)).fetchall()


def eventually(holds: Callable[[], Any], seconds: float = 15) -> Any:
    """The first true answer of `holds`; fails when there was none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := holds():
                return found
        except (httpx.HTTPError, psycopg.Error):
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {holds}")
