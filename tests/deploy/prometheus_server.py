"""A Prometheus of our own, as docs/operations/metrics.md has it told of Forebay."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.servers.child import Child
from config.supervisor.ports import find_free
from tests.deploy.dashboards import Variable

PROMETHEUS = shutil.which("prometheus")
EVERY = "2s"  # a scrape; in production 15
_CONFIG = """
global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}
rule_files: {rules}
scrape_configs:
  - job_name: forebay
    authorization: {{credentials_file: {token}}}
    file_sd_configs: [{{files: [{targets}], refresh_interval: 1s}}]
  - job_name: dcgm
    static_configs: [{{targets: {gpus}}}]
"""


class Refused(Exception):
    """Prometheus cannot answer a query: what it says."""


@dataclass(frozen=True, slots=True)
class Series:
    """`points`: seconds since the epoch, and the value then."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """Times in seconds since the epoch, and the seconds between two points."""

    start: float
    end: float
    step: float


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asks what Grafana would ask."""

    url: str

    def series(self, expr: str, span: Span) -> list[Series]:
        """Raises Refused, OSError."""
        query = {"query": expr, "start": span.start, "end": span.end, "step": span.step}
        return [
            Series(one["metric"], [(at, float(value)) for at, value in one["values"]])
            for one in self._get("query_range", query)["result"]
        ]

    def values(self, variable: Variable) -> list[str]:
        """Return what Grafana offers to choose. Raises Refused, OSError."""
        path = f"label/{variable.label}/values"
        values: list[str] = self._get(path, {"match[]": variable.metric})
        return values

    def _get(self, path: str, query: Mapping[str, object]) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310  # http, of this machine
                return json.load(answer)["data"]
        except urllib.error.HTTPError as problem:
            raise Refused(problem.read().decode(errors="replace")) from problem


@contextmanager
def prometheus(
    folder: Path, targets: Path, token: Path, *, gpus: list[str], rules: list[Path]
) -> Iterator[Prometheus]:
    """`targets`: the list that the supervisor keeps. `gpus`: addresses of exporters."""
    assert PROMETHEUS
    config, port = folder / "prometheus.yml", find_free()
    told = _CONFIG.format(
        every=EVERY,
        token=token,
        targets=targets,
        gpus=json.dumps(gpus),
        rules=json.dumps([str(path) for path in rules]),
    )
    config.write_text(told)
    command = [
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    server = Child(command, folder / "prometheus.log")
    try:
        server.wait_until_ready(f"http://127.0.0.1:{port}/-/ready", 60)
        yield Prometheus(f"http://127.0.0.1:{port}")
    except subprocess.SubprocessError:
        raise AssertionError(server.log_tail()) from None
    finally:
        server.stop()
