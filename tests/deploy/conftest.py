"""The platform that a container joins, and the image of one."""

import os

import pytest

from tests.deploy import containers
from tests.e2e.conftest import mock, session_mock, staged

__all__ = ["image", "mock", "session_mock", "staged"]
TAG = "localhost/forebay:under-test"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """FOREBAY_TEST_IMAGE, or one that is built now."""
    if given := os.environ.get("FOREBAY_TEST_IMAGE"):
        return given
    containers.build_ours(TAG, tmp_path_factory.mktemp("image"))
    return TAG
