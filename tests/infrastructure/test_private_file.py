"""Private files are there whole or not at all."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure import private_file

pytestmark = pytest.mark.unit


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Keeps each file of this process from growing, for one test."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    private_file.replace(tmp_path / "record", "before")
    request.getfixturevalue("full_disk")
    for _ in range(3):
        with pytest.raises(OSError, match="too large"):
            private_file.replace(tmp_path / "record", "after")
    assert [file.name for file in tmp_path.iterdir()] == ["record"]
    assert (tmp_path / "record").read_text() == "before"
