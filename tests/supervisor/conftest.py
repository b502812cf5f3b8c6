from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.supervisor.running import HOSTED, Running

Start = Callable[..., Running]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts platforms without an engine of their own; stops them after the test."""
    started: list[Running] = []

    def begin(where: Path = home, **variables: str) -> Running:
        started.append(Running(where, **{"FOREBAY_ENGINES": HOSTED, **variables}))
        return started[-1]

    yield begin
    for running in started:
        running.close()
