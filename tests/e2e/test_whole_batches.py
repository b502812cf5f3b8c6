"""A batch runs to its end, though parts of the platform are killed in the middle.

`make soak`: 50,000 lines, and 2,000 with a kill of each kind.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings

from bench.servers.processes import use_by_role
from tests.e2e.ask import client, eventually
from tests.e2e.conftest import Mock, Platform

LINES = int(os.environ.get("FOREBAY_TEST_BATCH_LINES", "300"))
PATIENCE_S = 120 + LINES / 20
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(60 + 3 * PATIENCE_S),
    pytest.mark.skipif(
        "FOREBAY_TEST_BATCH_LINES" not in os.environ, reason="takes half a minute: make soak"
    ),
]
CHAT = "/v1/chat/completions"
MOST_TOKENS = 5  # each line has a length of its own, by its number
COUNTED = {
    "requests": "select count(*) from inference_completion where tenant_id = %s",
    "open": "select count(*) from inference_completion where tenant_id = %s and state = 'open'",
    "usage rows": "select count(distinct completion_id) from inference_usage where tenant_id = %s",
    "tokens": "select sum(completion_tokens) from inference_usage where tenant_id = %s",
    "events": "select count(*) from audit_event"
    " where tenant_id = %s and action in ('completion:received', 'completion:completed')",
}


def tokens_of(number: int) -> int:
    return 1 + number % MOST_TOKENS


def lines(count: int) -> Iterator[bytes]:
    for number in range(count):
        said = [{"role": "user", "content": f"Line {number}"}]
        body = {"model": "mock", "messages": said, "max_tokens": tokens_of(number)}
        line = {"custom_id": f"n{number}", "method": "POST", "url": CHAT, "body": body}
        yield json.dumps(line).encode() + b"\n"


def begun(asking: httpx.Client, count: int) -> str:
    files = {"file": ("lines.jsonl", b"".join(lines(count)))}
    file = asking.post("/v1/files", data={"purpose": "batch"}, files=files, timeout=600).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    return str(asking.post("/v1/batches", json=asked).json()["id"])


def counted(platform: Platform, name: str) -> dict[str, int]:
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        query = "select id from tenants_tenant where name = %s"
        tenant = database.execute(query, (name,)).fetchone()
        rows = {what: database.execute(sql, tenant).fetchone() for what, sql in COUNTED.items()}
    return {what: int(row[0]) for what, row in rows.items() if row}


class Watched:
    """A batch, and the most memory that each process had meanwhile."""

    def __init__(self, asking: httpx.Client, platform: Platform, batch: str) -> None:
        self._asking, self._platform, self._batch = asking, platform, batch
        self.most_mb: Counter[str] = Counter()

    def reaches(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found: dict[str, Any] = eventually(lambda: self._if(holds), PATIENCE_S)
        return found

    def _if(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        for role, use in use_by_role(self._platform.child.pid).items():
            self.most_mb[role] = max(self.most_mb[role], int(use.memory_mb))
        answer = self._asking.get(f"/v1/batches/{self._batch}")
        if answer.status_code >= 500:  # what has been killed is not yet there again
            return None
        batch: dict[str, Any] = answer.json()
        assert batch["status"] in ("validating", "in_progress", "finalizing", "completed"), batch
        return batch if holds(batch) else None


# Each dies of SIGKILL once so much of the batch is answered.
LONG = {1 / 4: "jobs", 1 / 2: "worker"}
SERVERS = ("valkey", "postgres")  # of one process each, beside its children
EACH_KIND = {0.1: "jobs", 0.3: "worker", 0.5: "valkey", 0.7: "postgres", 0.9: "web"}


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize(
    ("count", "kills"), [(LINES, LONG), (min(LINES, 2000), EACH_KIND)], ids=["long", "each kind"]
)
def test_each_line_is_answered_once_whoever_is_killed(
    doubled: Platform, mock: Mock, count: int, kills: dict[float, str]
) -> None:
    mock.behave(tokens=MOST_TOKENS, interval_ms=0)
    began, tenant = time.monotonic(), f"lines-{len(kills)}"
    with client(doubled, doubled.key_of(tenant)) as asking:
        batch = Watched(asking, doubled, begun(asking, count))
        stored_s = time.monotonic() - began
        for part, role in kills.items():
            batch.reaches(lambda b: b["request_counts"]["completed"] > count * part)  # noqa: B023  # called at once
            kill(doubled, role)
        running = batch.reaches(lambda b: b["status"] in ("finalizing", "completed"))
        ran_s = time.monotonic() - began
        ended = batch.reaches(lambda b: b["status"] == "completed")
        took_s = time.monotonic() - began
        output = asking.get(f"/v1/files/{ended['output_file_id']}/content", timeout=600).text
    print(f"\n{count} lines: stored {stored_s:.1f} s, ran {ran_s:.1f} s, all {took_s:.1f} s")  # noqa: T201  # for make soak
    print("most MB:", dict(batch.most_mb), "killed while", running["request_counts"])  # noqa: T201  # for make soak
    assert ended["request_counts"] == {"total": count, "completed": count, "failed": 0}
    assert ended["error_file_id"] is None
    check_output([json.loads(row) for row in output.splitlines()], count)
    tokens = sum(map(tokens_of, range(count)))
    exact = {"requests": count, "open": 0, "usage rows": count, "tokens": tokens}
    assert counted(doubled, tenant) == {**exact, "events": 2 * count}


def kill(platform: Platform, role: str) -> None:
    """Kill the first process of a role, and wait until another one has its place."""
    before = platform.pids(role)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: is_back(platform, role, before), 60)


def is_back(platform: Platform, role: str, before: list[int]) -> bool:
    now = platform.pids(role)
    is_whole = len(now) >= (1 if role in SERVERS else len(before))
    is_ready = httpx.get(f"{platform.url}/readyz").status_code == 200
    return before[0] not in now and is_whole and is_ready


def check_output(rows: list[dict[str, Any]], count: int) -> None:
    assert [row["custom_id"] for row in rows] == [f"n{number}" for number in range(count)]
    for number, row in enumerate(rows):
        assert row["response"]["status_code"] == 200
        answer = row["response"]["body"]
        assert answer["usage"]["completion_tokens"] == tokens_of(number)
        assert len(answer["choices"][0]["message"]["content"].split()) == tokens_of(number)
    assert len({row["response"]["request_id"] for row in rows}) == count
