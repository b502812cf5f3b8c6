"""The memory that is foretold for the bundled model is what was measured with it."""

import subprocess

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit  # needs no server

SMOLLM2 = """
from trainer.training.memory import Footprint
config = {"num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536}
config["vocab_size"] = 49152
print(*(Footprint.of(config, 134_500_000, 16).needed(*size) >> 20 for size in ((1, 64), (4, 256))))
print(*Footprint.of(config, 134_500_000, 16).largest(2 << 30, 8, 256))
"""


def test_it_is_near_what_was_taken(pytorch: str) -> None:
    ran = subprocess.run(
        [pytorch, "-c", SMOLLM2], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    needed, fits = ran.stdout.splitlines()
    small, large = map(int, needed.split())
    assert small == pytest.approx(1200, rel=0.15)
    assert large == pytest.approx(3100, rel=0.15)
    assert fits == "2 256"
