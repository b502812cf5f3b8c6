"""What each process of a running platform tells Prometheus."""

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from tests.config.metrics.table import documented
from tests.e2e.ask import eventually
from tests.e2e.conftest import METRICS_TOKEN, Mock, Platform
from tests.e2e.front_ends import FRONT_ENDS
from tests.frozen import frozen

pytestmark = pytest.mark.e2e
BODY = {"model": "mock", "messages": [{"role": "user", "content": "canary-in-a-prompt"}]}
Sample = tuple[str, dict[str, str], float]


def targets(platform: Platform) -> dict[str, tuple[str, dict[str, str]]]:
    listed = json.loads((platform.home / "metrics" / "targets.json").read_text())
    return {each["labels"]["role"]: (each["targets"][0], each["labels"]) for each in listed}


def scrape(
    address: str, token: str = METRICS_TOKEN, accept: str = "text/plain", within_s: float = 20
) -> str:
    headers = {"Authorization": f"Bearer {token}", "Accept": accept}
    asked = urllib.request.Request(f"http://{address}/metrics", headers=headers)
    with urllib.request.urlopen(asked, timeout=within_s) as answer:
        return str(answer.read().decode())


def families(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


def samples(text: str) -> Iterator[Sample]:
    for family in families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def figure(platform: Platform, process: str, name: str, **labels: str) -> float:
    """The sum of all samples that have these labels."""
    text = scrape(targets(platform)[process][0])
    return sum(
        value
        for found, told, value in samples(text)
        if found == name and labels.items() <= told.items()
    )


def ask(platform: Platform, key: str = "", **fields: Any) -> int:
    asked = urllib.request.Request(
        f"{platform.url}/v1/chat/completions",
        json.dumps({**BODY, **fields}).encode(),
        {"Authorization": f"Bearer {key or platform.key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def is_up(platform: Platform, role: str) -> bool:
    try:
        return figure(platform, role, "forebay_build_info", role=role) == 1
    except OSError:
        return False


def test_each_process_is_listed_and_told_by_its_own_port(staged: Platform) -> None:
    found = targets(staged)
    assert sorted(found) == ["grpc", "jobs", "web", "worker"]
    for role, (address, labels) in found.items():
        eventually(partial(is_up, staged, role), 60)  # Celery's may still be starting
        assert labels["number"] == "1"
        assert address.startswith("127.0.0.1:")


def test_all_that_is_exported_stands_in_the_table_and_nothing_is_private(
    staged: Platform, mock: Mock
) -> None:
    assert ask(staged) == 200
    for address, _ in targets(staged).values():
        text = scrape(address)
        own = {each.name for each in families(text) if each.name.startswith("forebay")}
        assert own <= {name.removesuffix("_total") for name in documented()}
        assert own
        assert "canary" not in text
        assert staged.key not in text
        assert len(text) < 500_000
        written = scrape(address, accept="application/openmetrics-text")
        assert list(openmetrics(written))  # type: ignore[no-untyped-call]


def test_counts_move_with_requests(staged: Platform, mock: Mock) -> None:
    told = {"route": "/v1/chat/completions", "model": "mock", "status": "200"}
    answered, tokens = "forebay_requests_total", "forebay_generation_tokens_total"
    web = figure(staged, "web", answered, front_end="http", **told)
    worker = figure(staged, "worker", tokens, model="mock", pool="mock")
    first = figure(staged, "worker", "forebay_time_to_first_token_seconds_count")
    between = figure(staged, "worker", "forebay_inter_token_latency_seconds_count")
    assert [ask(staged), ask(staged, stream=True)] == [200, 200]
    eventually(lambda: figure(staged, "web", answered, front_end="http", **told) == web + 2, 20)
    assert figure(staged, "worker", tokens, model="mock", pool="mock") >= worker + 128
    assert figure(staged, "worker", "forebay_time_to_first_token_seconds_count") == first + 1
    assert figure(staged, "worker", "forebay_inter_token_latency_seconds_count") > between + 32
    assert figure(staged, "web", "forebay_group_commit_rows_count", what="received") > 0
    assert figure(staged, "worker", "forebay_group_commit_rows_count", what="settled") > 0
    assert figure(staged, "web", "forebay_valkey_round_trip_seconds_count") > 0


def test_grpc_counts_for_itself(staged: Platform, mock: Mock) -> None:
    before = figure(staged, "grpc", "forebay_requests_total", front_end="grpc", status="200")
    with FRONT_ENDS["grpc"](staged).client(staged.key) as asking:
        assert asking.chat(max_tokens=4).status == 200
    after = figure(staged, "grpc", "forebay_requests_total", front_end="grpc", status="200")
    assert after == before + 1


def test_refusals_have_their_reason(staged: Platform) -> None:
    refused = "forebay_refusals_total"
    before = figure(staged, "web", refused, reason="invalid_api_key")
    assert ask(staged, key="fb-wrong") == 401
    assert figure(staged, "web", refused, reason="invalid_api_key") == before + 1
    unknown = figure(staged, "web", refused, reason="model_not_found")
    assert ask(staged, model="canary-in-a-name") == 404
    assert figure(staged, "web", refused, reason="model_not_found") == unknown + 1
    assert "canary" not in scrape(targets(staged)["web"][0])


def test_the_jobs_process_tells_of_the_whole_platform(staged: Platform) -> None:
    eventually(lambda: figure(staged, "jobs", "forebay_celery_tasks_total", state="success"), 60)
    text = scrape(targets(staged)["jobs"][0])
    told = {name: value for name, labels, value in samples(text)}
    for source in ("queue", "valkey", "engines", "postgresql"):
        assert figure(staged, "jobs", "forebay_figures_readable", source=source) == 1
    assert figure(staged, "jobs", "forebay_engine_slots", engine="mock") == 8
    assert figure(staged, "jobs", "forebay_engine_up", engine="mock") == 1
    assert figure(staged, "jobs", "forebay_engine_breaker_state", engine="mock") == 1
    assert 0 < told["forebay_postgresql_connections"] < told["forebay_postgresql_connections_limit"]
    assert told["forebay_valkey_memory_bytes"] > 0
    assert told["forebay_erasures_open"] == 0
    assert "forebay_seal_lag_seconds" in told
    assert not any(n.startswith("forebay_engine_slots") for n, _, _ in samples(_web(staged)))


def _web(platform: Platform) -> str:
    return scrape(targets(platform)["web"][0])


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_is_told(staged: Platform, token: str) -> None:
    for address, _ in targets(staged).values():
        with pytest.raises(urllib.error.HTTPError, match="401"):
            scrape(address, token)


OTHERS = ("web", "grpc", "jobs")


def test_one_that_hangs_keeps_no_other_from_answering(staged: Platform) -> None:
    (hangs,) = staged.pids("worker")
    address, _labels = targets(staged)["worker"]
    with frozen(hangs):
        with pytest.raises(OSError, match="timed out"):
            scrape(address, within_s=0.5)
        assert all(is_up(staged, role) for role in OTHERS)
    eventually(lambda: is_up(staged, "worker"))


def test_one_that_died_stays_on_the_list_and_comes_back(staged: Platform) -> None:
    (dies,) = staged.pids("worker")
    os.kill(dies, signal.SIGKILL)
    eventually(lambda: not is_up(staged, "worker"))
    assert "worker" in targets(staged)
    assert all(is_up(staged, role) for role in OTHERS)
    eventually(lambda: is_up(staged, "worker"), 60)
    assert ask(staged) == 200
