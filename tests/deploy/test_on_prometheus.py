"""Every panel of every dashboard has an answer from a Prometheus that has scraped a real run.

FOREBAY_TEST_PROMETHEUS says for how many seconds there is load (`make soak`: 150).
"""

import asyncio
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.servers.forebay import UNLIMITED, Forebay
from config.environment import PROJECT
from config.supervisor.ports import find_free
from tests.deploy.dashboards import DASHBOARDS
from tests.deploy.mixed_load import Keys, Load
from tests.deploy.prometheus_server import PROMETHEUS, Prometheus, Span, prometheus
from tests.deploy.simulated_gpus import simulated_gpus
from tests.e2e.conftest import METRICS_TOKEN, Mock, Platform, start_mock
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.test_launched_engines import bundled

SECONDS = int(os.environ.get("FOREBAY_TEST_PROMETHEUS", "0"))
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(SECONDS + 600),
    pytest.mark.skipif(not SECONDS, reason="FOREBAY_TEST_PROMETHEUS is not set: see `make soak`"),
    pytest.mark.skipif(not PROMETHEUS, reason="no Prometheus here: apt-get install prometheus"),
]
SLOTS, SMALL, FLAKY = 8, "smollm2-135m", "flaky"
WINDOW, POINTS = "20s", 90
# What this run cannot bring about: no engine here says how full its KV cache is, none can park.
EMPTY = {
    ("pool", "KV cache in use"),
    ("pool", "KV cache fragmented"),
    ("pool", "GPU memory taken at the start"),
    ("pool", "Given away"),
    ("trust", "A certificate ends in"),  # no TLS
    ("overview", "Alerts that fire"),  # those of such a run want minutes
}


@dataclass
class Run:
    platform: Platform
    asked: Prometheus
    span: Span
    load: Load
    at_start: dict[str, list[int]]  # by role, what scrapes were told while it started


class Again(Platform):
    """A second start in the same home."""

    def __init__(self, folder: Path, engines: dict[str, Any], variables: dict[str, str]) -> None:
        self._commands = None
        Forebay.__init__(self, folder, engines, grpc=True, variables=variables)


class ScrapesAtStart(threading.Thread):
    """As fast as it can, from the moment that a process is listed."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self.file, self.over = home / "metrics" / "targets.json", threading.Event()
        self.told: defaultdict[str, list[int]] = defaultdict(list)
        self.longest = 0.0

    def run(self) -> None:
        while not self.over.wait(0.05):
            for each in json.loads(self.file.read_text()) if self.file.exists() else []:
                self._scrape(each["labels"]["role"], each["targets"][0])

    def _scrape(self, role: str, address: str) -> None:
        headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
        began = time.monotonic()
        try:
            asked = urllib.request.Request(f"http://{address}/metrics", headers=headers)
            with urllib.request.urlopen(asked, timeout=30) as answer:
                answer.read()
                self.told[role].append(answer.status)
        except urllib.error.HTTPError as refused:
            self.told[role].append(refused.code)
        except OSError:
            pass  # nobody listens yet
        self.longest = max(self.longest, time.monotonic() - began)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("observed")
    with ExitStack() as ends:
        steady, flaky = start_mock(folder), start_mock(folder)
        for mock in (steady, flaky):
            ends.callback(mock.child.stop)
        steady.behave(tokens=60, interval_ms=30, delay_ms=60)
        flaky.behave(tokens=20, interval_ms=20, delay_ms=30)
        platform, keys, scrapes = _started(folder, steady, flaky, ends)
        gpus = ends.enter_context(simulated_gpus(f"http://127.0.0.1:{steady.port}/control", SLOTS))
        asked = ends.enter_context(
            prometheus(
                folder,
                platform.home / "metrics" / "targets.json",
                folder / "metrics.token",
                gpus=[gpus],
                rules=sorted((PROJECT / "deploy" / "prometheus" / "rules").glob("*.yml")),
            )
        )
        load = Load(platform.url, "mock", (SMALL, FLAKY), keys, SECONDS)
        began = time.time()
        beside = [
            threading.Thread(target=_trouble, args=[platform, flaky]),
            threading.Thread(target=_over_grpc, args=[platform, keys.large]),
        ]
        for each in beside:
            each.start()
        asyncio.run(load.run())
        for each in beside:
            each.join()
        assert scrapes.longest < 15
        span = Span(began, began + SECONDS, SECONDS / POINTS)
        yield Run(platform, asked, span, load, scrapes.told)


def _started(
    folder: Path, steady: Mock, flaky: Mock, ends: ExitStack
) -> tuple[Platform, Keys, ScrapesAtStart]:
    """The second time with its tenants named."""
    engines = _engines(steady, flaky)
    first = Platform(folder, engines)
    try:
        large, its_key = _tenant(first, "large")
        small, its_own = _tenant(first, "small", "--requests-per-minute", "40", "--burst", "5")
    finally:
        first.stop()
    (folder / "metrics.token").write_text(METRICS_TOKEN)
    variables = {
        "FOREBAY_METRICS_PORT": str(find_free()),
        "FOREBAY_METRICS_TOKEN_FILE": str(folder / "metrics.token"),
        "FOREBAY_METRICS_TENANTS": f"{large},{small}",
        "FOREBAY_WEB_PROXIES": "127.0.0.1",  # the load comes from many addresses
        "FOREBAY_IP_PER_MINUTE": "100",
    }
    scrapes = ScrapesAtStart(first.home)
    scrapes.start()
    try:
        platform = Again(folder, engines, variables)
    finally:
        scrapes.over.set()
        scrapes.join()
    ends.callback(platform.stop)
    return platform, Keys(its_key, its_own), scrapes


def _engines(steady: Mock, flaky: Mock) -> dict[str, Any]:
    kind = {"kind": "openai", "context_length": 4096, "template_tokens": 64}
    launch = {"kind": "llama_cpp", "slots": 2, "launch": {"model": str(bundled())}}
    return {
        "mock": {**kind, "url": f"http://127.0.0.1:{steady.port}/v1", "slots": SLOTS},
        FLAKY: {**kind, "url": f"http://127.0.0.1:{flaky.port}/v1", "slots": 2},
        SMALL: launch,
    }


def _tenant(platform: Platform, name: str, *options: str) -> tuple[str, str]:
    """Its id and a key of it."""
    made = platform.manage("create_tenant", name, *UNLIMITED, *options, "--json")
    key = platform.manage("create_api_key", name, "--name", "load", "--json")
    return json.loads(made)["tenant"]["id"], json.loads(key)["api_key"]


def _trouble(platform: Platform, flaky: Mock) -> None:
    """An engine fails for a while; later a worker dies."""
    time.sleep(SECONDS * 0.45)
    flaky.behave(fail="http_500")
    time.sleep(SECONDS * 0.15)
    flaky.behave(tokens=20, interval_ms=20, delay_ms=30)
    time.sleep(SECONDS * 0.1)
    for pid in platform.pids("worker")[:1]:
        os.kill(pid, signal.SIGKILL)


def _over_grpc(platform: Platform, key: str) -> None:
    until = time.monotonic() + SECONDS
    with FRONT_ENDS["grpc"](platform).client(key) as asking:
        while time.monotonic() < until:
            asking.chat(max_tokens=10)
            time.sleep(2)


def test_the_load_was_mixed(run: Run) -> None:
    print(f"answers by status: {dict(run.load.answers)}")
    assert {200, 401, 404, 429} <= run.load.answers.keys()
    assert not run.load.answers[0]  # a connection that broke
    assert run.load.answers[200] > SECONDS


def test_a_process_that_starts_answers_or_refuses_and_never_breaks(run: Run) -> None:
    print("scrapes while it started:", {role: len(told) for role, told in run.at_start.items()})
    assert {"web", "worker", "jobs", "grpc"} <= run.at_start.keys()
    assert {status for told in run.at_start.values() for status in told} == {200}


def test_every_query_is_answered_and_has_what_such_a_run_has(run: Run) -> None:
    empty, queries = set[tuple[str, str]](), 0
    for board in DASHBOARDS:
        for panel in board.panels:
            exprs = [board.filled_in(target["expr"], WINDOW) for target in panel["targets"]]
            queries += len(exprs)
            if not [series for expr in exprs for series in run.asked.series(expr, run.span)]:
                empty.add((board.name, panel["title"]))
    panels = sum(len(list(board.panels)) for board in DASHBOARDS)
    print(f"{queries} queries of {panels} panels, {len(empty)} without data: {sorted(empty)}")
    assert empty <= EMPTY


def test_variables_offer_what_there_is(run: Run) -> None:
    offered = {
        (board.name, variable.name): run.asked.values(variable)
        for board in DASHBOARDS
        for variable in board.variables
    }
    print(offered)
    assert all(offered.values())
    assert set(offered["pool", "pool"]) == {"mock", FLAKY, SMALL}
    assert len(offered["tenant", "tenant"]) == 2


def test_a_worker_that_died_was_down_and_no_other(run: Run) -> None:
    lowest = run.asked.series(f"min by (role) (min_over_time(up[{SECONDS}s]))", run.span)
    last = {each.labels.get("role", "gpu"): each.points[-1][1] for each in lowest}
    assert last == {"web": 1, "grpc": 1, "jobs": 1, "worker": 0, "gpu": 1}
    now = run.asked.series('min(up{role="worker"})', run.span)
    assert now[0].points[-1][1] == 1  # it is back
