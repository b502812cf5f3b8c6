"""A batch runs to its end, though its driver and its workers are killed in the middle.

`make soak`: 50,000 lines.
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
TENANT = "lines"
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


def lines() -> Iterator[bytes]:
    for number in range(LINES):
        said = [{"role": "user", "content": f"Line {number}"}]
        body = {"model": "mock", "messages": said, "max_tokens": tokens_of(number)}
        line = {"custom_id": f"n{number}", "method": "POST", "url": CHAT, "body": body}
        yield json.dumps(line).encode() + b"\n"


def begun(asking: httpx.Client) -> str:
    files = {"file": ("lines.jsonl", b"".join(lines()))}
    file = asking.post("/v1/files", data={"purpose": "batch"}, files=files, timeout=600).json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    return str(asking.post("/v1/batches", json=asked).json()["id"])


def counted(platform: Platform) -> dict[str, int]:
    with psycopg.connect(platform.running()["DATABASE_URL"], **settings.SEES_ALL) as database:
        query = "select id from tenants_tenant where name = %s"
        tenant = database.execute(query, (TENANT,)).fetchone()
        rows = {name: database.execute(sql, tenant).fetchone() for name, sql in COUNTED.items()}
    return {name: int(row[0]) for name, row in rows.items() if row}


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
            self.most_mb[role] = max(self.most_mb[role], int(use.rss_mb))
        batch: dict[str, Any] = self._asking.get(f"/v1/batches/{self._batch}").json()
        assert batch["status"] in ("validating", "in_progress", "finalizing", "completed"), batch
        return batch if holds(batch) else None


@pytest.mark.slow(seconds=40)
def test_each_line_is_answered_once_whoever_is_killed(doubled: Platform, mock: Mock) -> None:
    mock.behave(tokens=MOST_TOKENS, interval_ms=0)
    began = time.monotonic()
    with client(doubled, doubled.key_of(TENANT)) as asking:
        batch = Watched(asking, doubled, begun(asking))
        stored_s = time.monotonic() - began
        for part, role in (1 / 4, "jobs"), (1 / 2, "worker"):
            batch.reaches(lambda b: b["request_counts"]["completed"] > LINES * part)  # noqa: B023  # called at once
            before = doubled.pids(role)
            os.kill(before[0], signal.SIGKILL)
            eventually(lambda: len(set(doubled.pids(role)) - {before[0]}) == len(before), 60)  # noqa: B023  # called at once
        running = batch.reaches(lambda b: b["status"] in ("finalizing", "completed"))
        ran_s = time.monotonic() - began
        ended = batch.reaches(lambda b: b["status"] == "completed")
        took_s = time.monotonic() - began
        output = asking.get(f"/v1/files/{ended['output_file_id']}/content", timeout=600).text
    print(f"\n{LINES} lines: stored {stored_s:.1f} s, ran {ran_s:.1f} s, all {took_s:.1f} s")  # noqa: T201  # for make soak
    print("most MB:", dict(batch.most_mb), "killed while", running["request_counts"])  # noqa: T201  # for make soak
    assert ended["request_counts"] == {"total": LINES, "completed": LINES, "failed": 0}
    assert ended["error_file_id"] is None
    rows = [json.loads(row) for row in output.splitlines()]
    assert [row["custom_id"] for row in rows] == [f"n{number}" for number in range(LINES)]
    for number, row in enumerate(rows):
        assert row["response"]["status_code"] == 200
        said = row["response"]["body"]
        assert said["usage"]["completion_tokens"] == tokens_of(number)
        assert len(said["choices"][0]["message"]["content"].split()) == tokens_of(number)
    assert len({row["response"]["request_id"] for row in rows}) == LINES
    tokens = sum(map(tokens_of, range(LINES)))
    exact = {"requests": LINES, "open": 0, "usage rows": LINES, "tokens": tokens}
    assert counted(doubled) == {**exact, "events": 2 * LINES}
