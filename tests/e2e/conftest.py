"""Running platforms: `real` with the embedded model, `staged` in front of the mock engine, and
`doubled` with two of each process of which there may be several.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.servers.child import Child
from bench.servers.forebay import Forebay
from bench.servers.processes import role, tree
from config.supervisor.ports import find_free
from tests import prepared
from tests.collector import Collector, collecting
from tests.e2e import json_lines
from tests.e2e.commands import Commands
from tests.e2e.echo_engine import EchoEngine, echo
from tests.e2e.front_ends import FRONT_ENDS
from tests.e2e.front_ends.base import FrontEnd

MOCK_SLOTS = 8
METRICS_TOKEN = "only-prometheus-knows"


# A front end of the tests' own beside the others: what the fixture `front` shows of one.
WITH_LINES = {"DJANGO_SETTINGS_MODULE": "tests.e2e.lines.settings"}
OVER_LINES = {"test_completions.py", "test_limits.py"}  # in `make test`


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The third front end runs over some of the shared tests, and over all in `make soak`."""
    for item in items:
        case = getattr(item, "callspec", None)
        if case and case.params.get("front") == "lines" and item.path.name not in OVER_LINES:
            item.add_marker(pytest.mark.soak)


@dataclass
class Mock:
    """The mock engine's remote control."""

    child: Child
    port: int

    def behave(self, **settings: Any) -> None:
        defaults = {"tokens": 64, "interval_ms": 2.0, "delay_ms": 0.0}
        self._call("POST", "/control", {**defaults, "fail": None, "reasoning": None, **settings})

    def start_again(self) -> None:
        """As it was first started."""
        self.child = Child(self.child.command, self.child.log)
        self.child.wait_until_ready(f"http://127.0.0.1:{self.port}/health", 30)

    def state(self) -> dict[str, Any]:
        return self._call("GET", "/control")

    def last_body(self) -> dict[str, Any]:
        return self._call("GET", "/control/last")

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}{path}"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method)) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found


# The tenant of one test shall have all slots, though that of another was there a moment ago.
ALL_SLOTS = {"FOREBAY_QUEUE_LIMITS": json.dumps({"realtime": {"headroom": 0, "lower_slots": 1000}})}


class Platform(Forebay):
    """A running platform and ways to hurt its parts. Its first start was another one's."""

    def __init__(
        self,
        folder: Path,
        engines: dict[str, Any] | None = None,
        *,
        grpc: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        prepared.home(folder / "home")
        self._commands: Commands | None = None
        variables = {**ALL_SLOTS, **(variables or {})}
        super().__init__(folder, engines, grpc=grpc, variables=variables)

    def new_key(self) -> str:
        return (self.home / prepared.BENCH_KEY).read_text()

    def manage(self, *arguments: str) -> str:
        if self._commands is None:
            self._commands = Commands(self.env)
        return self._commands(*arguments)

    def stop(self) -> float:
        if self._commands:
            self._commands.end()
        return super().stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def pids(self, wanted: str) -> list[int]:
        """Of the processes that play a role: web, worker, jobs, beat, postgres, valkey, engine."""
        processes = tree(self.child.pid)
        return [process.pid for process in processes if role(process.command) == wanted]


def start_mock(folder: Path) -> Mock:
    port = find_free()
    command = [sys.executable, "-m", "bench.mock_engine", "--port", str(port)]
    child = Child(command, folder / f"mock-{port}.log")
    child.wait_until_ready(f"http://127.0.0.1:{port}/health", 20)
    return Mock(child, port)


@pytest.fixture(scope="session")
def session_mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    mock = start_mock(tmp_path_factory.mktemp("mock"))
    yield mock
    mock.child.stop()


@pytest.fixture
def mock(session_mock: Mock) -> Iterator[Mock]:
    session_mock.behave()
    yield session_mock
    session_mock.behave()


@pytest.fixture(scope="session")
def staged(session_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    url = f"http://127.0.0.1:{session_mock.port}/v1"
    engine = {"kind": "openai", "url": url, "slots": MOCK_SLOTS, "context_length": 4096}
    engine["template_tokens"] = 64  # it has no template: what is left of a budget can be spent
    folder = tmp_path_factory.mktemp("staged")
    (folder / "metrics.token").write_text(METRICS_TOKEN)
    metrics = {
        "FOREBAY_METRICS_PORT": str(find_free()),
        "FOREBAY_METRICS_TOKEN_FILE": str(folder / "metrics.token"),
    }
    platform = Platform(folder, {"mock": engine}, grpc=True, variables=metrics | WITH_LINES)
    yield platform
    platform.stop()


@pytest.fixture(scope="session")
def echo_engine() -> Iterator[EchoEngine]:
    with echo() as engine:
        yield engine


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="session")
def echoing(
    echo_engine: EchoEngine, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Its engine says back what it is asked. Logs in JSON, traces for the collector."""
    url = f"http://127.0.0.1:{echo_engine.port}/v1"
    served = {"echo": {"kind": "openai", "url": url, "slots": 8}}
    told = {
        "FOREBAY_REQUEST_DEADLINE_S": "4",  # of answers that never end
        "FOREBAY_LOG_FORMAT": "json",
        "FOREBAY_TRACES": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    folder = tmp_path_factory.mktemp("echoing")
    platform = Platform(folder, served, grpc=True, variables=told)
    yield platform
    platform.stop()
    assert not json_lines.odd(platform.home), "not JSON, to the last word"


@pytest.fixture(scope="session")
def doubled(session_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    url = f"http://127.0.0.1:{session_mock.port}/v1"
    engine = {"kind": "openai", "url": url, "slots": 4, "context_length": 4096}
    two = {"FOREBAY_WEB_PROCESSES": "2", "FOREBAY_WORKERS_PER_ENGINE": "2"}
    folder = tmp_path_factory.mktemp("doubled")
    platform = Platform(folder, {"mock": engine}, grpc=True, variables=two)
    yield platform
    platform.stop()


@pytest.fixture(params=FRONT_ENDS)
def front(request: pytest.FixtureRequest, staged: Platform) -> FrontEnd:
    """Each of the front ends, before `staged`."""
    return FRONT_ENDS[request.param](staged)


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("real"))
    yield platform
    platform.stop()
