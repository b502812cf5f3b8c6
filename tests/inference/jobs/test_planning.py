"""The platform's own words of the trainer's parameters, and the memory that it foretells."""

from typing import Any

import pytest

from inference.jobs.planning import plans
from inference.jobs.planning.plans import Plan
from inference.jobs.planning.settable import PARAMETERS
from inference.models import DataSetVersion, ModelVersion
from trainer.kinds import KINDS

pytestmark = pytest.mark.unit
SMOLLM2 = [30, 576, 1536, 49152]


@pytest.mark.parametrize("kind", list(KINDS))
def test_bounds_and_defaults_are_the_trainers(kind: str) -> None:
    table = {each.name: each for each in KINDS[kind].parameters}
    for own in PARAMETERS[kind]:
        theirs = table[own.name]
        assert (own.default, own.choices) == (theirs.default, theirs.choices), own.name
        assert (own.low, own.high) == (theirs.least, theirs.most), own.name
        assert own.is_whole == (theirs.type is int), own.name


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    monkeypatch.setattr(plans, "_shape", lambda _base: SMOLLM2)
    return ModelVersion(parameters=134_515_008)


def plan(base: ModelVersion, kind: str = "pretrain", **parameters: Any) -> Plan:
    report = {"characters": {"sum": 3_500_000}}
    data = DataSetVersion(form="texts", rows=900, held_out_rows=100, report=report)
    return Plan(kind, base, data, parameters)


def test_memory_is_what_the_trainer_reckons_with(base: ModelVersion) -> None:
    """Its figures for SmolLM2-135M with an adapter: 1.1 GB at 1 x 64 tokens, 2.9 at 4 x 256."""
    short = plans.memory(plan(base, length=64, rank=16))
    long = plans.memory(plan(base, length=256, batch=4, rank=16))
    assert short is not None
    assert long is not None
    assert 1.0e9 < short.least < 1.25e9
    assert 2.6e9 < long.of_batch < 3.1e9
    whole = plans.memory(plan(base, method="full"))
    assert whole is not None
    assert whole.least > long.least + 1.4e9  # gradients and moments of all weights


def test_steps_are_those_of_the_rows_to_train_on(base: ModelVersion) -> None:
    """A million tokens, of which nine tenths are trained on: 900,000 / 256 / 8."""
    assert plans.steps(plan(base, epochs=2)) == 2 * 440
    assert plans.steps(plan(base, epochs=2, most_steps=100)) == 100
    assert plans.steps(plan(base, "quantise")) is None
