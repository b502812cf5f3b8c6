"""The cost of a request while the platform grows: steps, figures, keys in turns."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from bench.compare.comparison import summary
from bench.load.generator import LoadReport, Options, chat_requests
from bench.parts.growth import picture
from bench.parts.growth.cost import ENGINES, RECORDS, GrowthReport, aims, section, steps

pytestmark = pytest.mark.unit
OPTIONS = Options("http://127.0.0.1:1/v1", "one", "mock", stream=False, concurrency=1)


def test_each_axis_begins_with_the_same_small_platform() -> None:
    by_axis = {step.axis: step for step in reversed(steps(1_000))}
    assert len(by_axis) == 4
    assert {step.home for step in by_axis.values()} == {"1-0-1"}
    assert [step.records for step in steps(1_000) if step.axis == RECORDS] == [0, 20, 1_000]


def report() -> GrowthReport:
    rows = []
    for axis, size, cpu_ms in ((RECORDS, "0", 1.0), (RECORDS, "9", 1.2), (ENGINES, "1", 2.0)):
        slice_ = LoadReport(all=8, rps=100.0, p50_ms=9.0, p99_ms=20.0, cpu_ms={"web": cpu_ms})
        rows.append(summary(axis, size, [slice_]))
    return GrowthReport(4.0, 9, rows)


def test_a_row_is_compared_with_the_first_of_its_axis() -> None:
    assert [report().times(row) for row in report().rows] == [1.0, 1.2, 1.0]
    assert "| requests on record | 9 | 100 | 9.00 | 20.0 | 1.20 | 1.20 | 1.20 |" in section(
        report()
    )
    assert [aim.met for aim in aims(report())] == [False, True]


def test_the_picture_has_a_bar_for_each_step() -> None:
    drawn = picture.drawn(msgspec.json.decode(msgspec.json.encode(report()), type=GrowthReport), "")
    assert drawn.count("<rect") == 1 + 3
    assert "1.20  with 9" in drawn


def test_requests_take_keys_in_turns(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\ntwo\n")
    options = replace(OPTIONS, keys=str(tmp_path / "keys"))
    keys = [each.partition(b"Bearer ")[2][:3] for each in islice(chat_requests(options), 4)]
    assert keys == [b"one", b"two", b"one", b"two"]
    assert b"Bearer one" in next(chat_requests(OPTIONS))
