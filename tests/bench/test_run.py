"""`python -m bench`: one run over the parts."""

import argparse
import subprocess
from typing import Any

import pytest

from bench import __main__ as run
from bench.parts.catalogue import Summary
from tests.bench.runs import results

pytestmark = pytest.mark.unit


def test_a_part_that_fails_keeps_no_other_from_being_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[list[str]] = []

    def measure(name: str, _size: dict[str, float]) -> Summary:
        if name == "memory":
            raise subprocess.CalledProcessError(1, ["memory"])
        return Summary({}, "", [], {})

    def write(measured: Any, _file: str) -> list[Any]:
        written.append(list(measured.parts))
        return []

    monkeypatch.setattr(run, "measure_apart", measure)
    monkeypatch.setattr("bench.report.files.write", write)
    measured = results(parts={})
    options = argparse.Namespace(rounds=None, seconds=None)
    assert run.measure_parts(measured, ["memory", "bodies"], options, "today") == ["memory"]
    assert list(measured.parts) == ["bodies"]
    assert written == [[], ["bodies"]]
