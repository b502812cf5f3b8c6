"""The bare program beside which Forebay is measured keeps the promises that it is measured by."""

from pathlib import Path

import pytest

from bench.servers import floor
from bench.servers.floor import commits
from bench.servers.forebay import mock_engine
from bench.servers.targets import send

pytestmark = pytest.mark.unit


@pytest.mark.slow(seconds=8)
@pytest.mark.parametrize("stream", [False, True])
def test_it_answers_and_tells_its_cpu_by_process(stream: bool, tmp_path: Path) -> None:
    with mock_engine() as mock, floor.running(mock, tmp_path) as target:
        mock.control(tokens=8, interval_ms=1)
        options = target.options(
            stream=stream, concurrency=8, requests=200, warmup=0.0, tokens=8, max_tokens=8
        )
        report = send(options, target.generator)
        assert (report.all, report.bad) == (200, 0), report.wrong
        assert set(target.use()) == {*floor.SIGNS, "supervisor"}


def test_no_text_is_recorded_in_clear() -> None:
    id_ = commits.new_id()
    assert b"secret" not in commits.encrypted(b"a secret text", id_)
    assert commits.new_id() > id_
