"""Jobs with the scripted trainer, on a runner in the tests' own process."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tests.inference.jobs.scripted_trainer import write_program
from tests.inference.jobs.works import Works
from tests.inference.running import Bench


@pytest.fixture
def trainer(settings: Settings, tmp_path: Path) -> Path:
    """A program in place of the trainer's Python, which runs the scripted trainer."""
    program = write_program(tmp_path)
    settings.TRAINER_PYTHON = str(program)
    return program


@pytest.fixture
async def works(
    bench: Bench,
    trainer: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Works:
    settings.JOB_FOLDER, settings.JOB_STORE = tmp_path / "jobs", str(tmp_path / "job-store")
    settings.MODEL_IMPORTS = tmp_path / "imports"
    settings.MODEL_STORE, settings.MODEL_COPIES = str(tmp_path / "models"), tmp_path / "copies"
    works = Works(bench, tmp_path)
    monkeypatch.setattr("inference.jobs.bases.place", works.place)
    return works
