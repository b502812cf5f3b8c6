"""A store of model files in a folder of the test's own."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def model_store(tmp_path: Path, settings: Settings) -> Path:
    settings.MODEL_STORE = str(tmp_path / "store")
    settings.MODEL_COPIES = tmp_path / "copies"
    return tmp_path / "store"
