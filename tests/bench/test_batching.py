"""The tables of continuous batching, and what is aimed at."""

import pytest

from bench.parts.batching import (
    LLAMA_CPP,
    NO_VLLM,
    VLLM,
    BatchingReport,
    BatchingRow,
    section,
)
from bench.report.aims import of_batching

pytestmark = pytest.mark.unit


def report(at_16: float, *, left_out: bool = False) -> BatchingReport:
    rows = [BatchingRow(LLAMA_CPP, 1, 10.0, 9.8, 0, 20), BatchingRow(LLAMA_CPP, 16, 40, 39.6, 0, 9)]
    vllm = [BatchingRow(VLLM, 1, 10.0, 10.0, 0, 20), BatchingRow(VLLM, 16, at_16, at_16, 0, 90)]
    found = [] if left_out else vllm
    return BatchingReport(3, 20.0, rows + found, [NO_VLLM] if left_out else [])


def test_ratios_are_through_to_alone_and_to_one_stream() -> None:
    lines = section(report(85.0)).splitlines()
    assert "| llama.cpp | 16 | 40.0 | 4.00 | 39.6 | 4.04 | 0.99 | 0 of 9 |" in lines
    assert "| vLLM | 16 | 85.0 | 8.50 | 85.0 | 8.50 | 1.00 | 0 of 90 |" in lines


@pytest.mark.parametrize(("at_16", "met"), [(80.0, True), (79.0, False)])
def test_vllm_is_to_give_eight_times_as_much_at_16(at_16: float, met: bool) -> None:
    aim, *shares = of_batching(report(at_16))
    assert aim.met is met
    assert all(share.met for share in shares)
    assert len(shares) == 4


def test_without_vllm_it_says_so() -> None:
    found = report(0, left_out=True)
    assert NO_VLLM in section(found)
    assert [aim.text for aim in of_batching(found) if "vLLM" in aim.text] == []
