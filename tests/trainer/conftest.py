"""The interpreter with PyTorch, for tests that need it."""

import os

import pytest


@pytest.fixture(scope="session")
def pytorch() -> str:
    """Returns the Python of .venv-train."""
    if not (python := os.environ.get("FOREBAY_TEST_MODELS")):
        pytest.skip("needs PyTorch: make test-models runs it")
    return python
