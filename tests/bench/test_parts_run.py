"""Each part of `make bench` measures to its end, with sizes that say nothing of speed."""

import subprocess
import sys

import pytest

from bench.parts.catalogue import PARTS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
LEAST = {
    "rounds": 1,
    "seconds": 1.0,
    "requests": 200,
    "prompts": 100,
    "rows": 5_000,
    "records": 5_000,
    "events": 2_000,
    "conversations": 2,
    "turns": 2,
    "tokens": 200,
    "megabytes": 50,
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_measures_to_its_end(name: str) -> None:
    sizes = [text for each in PARTS[name].full for text in (f"--{each}", str(LEAST[each]))]
    command = [sys.executable, "-m", "bench.parts", name, *sizes]
    subprocess.run(command, check=True)
