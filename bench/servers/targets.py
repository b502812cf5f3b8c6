"""Targets of load: the engine itself, LiteLLM, vllm-router, Forebay."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.figures import percentile
from bench.load.generator import LoadReport, Options
from bench.servers.child import REPOSITORY, Child
from bench.servers.processes import Use
from config.supervisor.ports import find_free

MODEL = "mock"


@dataclass(frozen=True, slots=True)
class Target:
    """`url` ends in /v1; `use` tells CPU and memory by role, of nothing for the engine itself.

    `keys`: a file of keys that requests take in turns.
    """

    name: str
    url: str
    key: str
    model: str
    use: Callable[[], dict[str, Use]] = dict
    generator: str = "bench.load"
    keys: str = ""

    def options(self, *, stream: bool = False, **settings: Any) -> Options:
        """The options of a load on this target."""
        settings = {"keys": self.keys, **settings}
        return Options(url=self.url, key=self.key, model=self.model, stream=stream, **settings)


class MockEngine:
    """A mock engine of its own process, ready when constructed."""

    def __init__(self, folder: Path) -> None:
        port = find_free()
        command = [sys.executable, "-m", "bench.mock_engine", "--port", str(port)]
        self.child = Child([*command, "--model", MODEL], folder / "mock_engine.log")
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"
        self.child.wait_until_ready(f"{self.root}/health", 10)

    def control(self, **settings: Any) -> dict[str, Any]:
        """Changes the behaviour from the next request on; returns it with the counters."""
        state: dict[str, Any] = self._asked("/control", json.dumps(settings).encode())
        return state

    def send_stamped(self, options: Options) -> LoadReport:
        """Sends requests by which the engine, when `stamped`, knows how long they took to it."""
        self._asked("/control/delays")  # of earlier ones
        report = send(replace(options, stamped=True))
        delays = sorted(self._asked("/control/delays"))
        report.engine_p50_ms, report.engine_p99_ms = percentile(delays, 50), percentile(delays, 99)
        return report

    def _asked(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.root + path, body, timeout=5) as reply:
            return json.load(reply)

    def target(self) -> Target:
        return Target("direct", self.url, "none", MODEL)


def send(options: Options, generator: str = "bench.load") -> LoadReport:
    """Runs the load generator in a process of its own."""
    command = [sys.executable, "-m", generator]
    for name, value in asdict(options).items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            command.append(option)
        elif value:
            command.append(f"{option}={value}")  # a key may begin with a dash
    limit = options.spread + options.warmup + options.seconds + options.grace + 30
    if options.requests:
        limit += 300
    done = subprocess.run(
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=limit
    )
    return LoadReport(**json.loads(done.stdout))
