"""The connections that the embedded PostgreSQL allows grow with the processes that use it."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.supervisor.options import RunOptions
from config.supervisor.servers import connections

pytestmark = pytest.mark.unit
ALONE = 300  # one process of each kind, and engines to come


@pytest.mark.parametrize(
    ("engines", "web", "workers", "most"),
    [(1, 1, 1, ALONE), (20, 1, 1, ALONE + 3 * 12), (1, 4, 2, ALONE + 3 * 40 + 12)],
)
def test_each_process_has_its_share(
    monkeypatch: pytest.MonkeyPatch, engines: int, web: int, workers: int, most: int
) -> None:
    url = "http://127.0.0.1:9/v1"
    pool = {"kind": "openai", "engines": [{"url": url, "slots": 8}] * engines}
    monkeypatch.setenv("FOREBAY_ENGINES", json.dumps({"mock": {"pools": {"mock": pool}}}))
    fields: dict[str, Any] = dict.fromkeys(RunOptions.__dataclass_fields__)
    fields |= {"home": Path(), "web_processes": web, "workers_per_engine": workers}
    fields |= {"worker_processes": 4}
    assert connections(RunOptions(**fields)) == most
