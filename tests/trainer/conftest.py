"""The interpreter with PyTorch, for tests that need it, and a model that is trained in seconds."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.supervisor.engines.embedded_engine import bundled_model
from tests.trainer.process import run
from tests.trainer.tiny_model import write_tiny_model
from tests.trainer.warm_trainer import WarmTrainer, warm_trainer


@pytest.fixture(scope="session")
def pytorch() -> str:
    """Returns the Python of .venv-train."""
    if not (python := os.environ.get("FOREBAY_TEST_MODELS")):
        pytest.skip("needs PyTorch: make test-models runs it")
    return python


@pytest.fixture(scope="session")
def trainer(pytorch: str) -> Iterator[WarmTrainer]:
    with warm_trainer(pytorch) as trainer:
        yield trainer


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def smollm2(pytorch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the bundled model, as PyTorch reads it."""
    folder = tmp_path_factory.mktemp("base")
    parameters = {"to": "hf", "dtype": "f32"}
    made = run(folder, "convert", python=pytorch, base=str(bundled_model()), parameters=parameters)
    assert made.code == 0, made.events[-1:]
    return made.output / "model"
