"""Front ends with nothing behind them, under the load that they measure."""

from pathlib import Path

import pytest

from bench.servers.bare import GRPC, REST, TOKENS, running
from bench.servers.targets import send

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", [REST, GRPC])
def test_a_bare_front_end_answers_and_tells_its_cpu(name: str, tmp_path: Path) -> None:
    with running(name, tmp_path) as target:
        options = target.options(concurrency=8, requests=100, warmup=0.0, tokens=TOKENS)
        report = send(options, target.generator)
        assert (report.all, report.bad) == (100, 0), report.wrong
        assert target.use()[name].cpu_ms > 0
        assert report.generator_cpu_ms
