"""Cases that `make soak` runs and `make test` leaves out, for what they take.

A pytest plugin. `@pytest.mark.soak` is for a whole test, `@pytest.mark.soak("grpc")` for its cases
that have this word in their id. FOREBAY_TEST_SOAK lets all of them run, and gives each test
PATIENCE times its limit, since it counts further.
"""

import os

import pytest

EVERYTHING = bool(os.environ.get("FOREBAY_TEST_SOAK"))
PATIENCE = 6


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if EVERYTHING:
        for item in items:
            _give_time(item)
        return
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _is_left_out(item)]


def _give_time(item: pytest.Item) -> None:
    if mark := item.get_closest_marker("timeout"):
        item.add_marker(pytest.mark.timeout(mark.args[0] * PATIENCE), append=False)


def _is_left_out(item: pytest.Item) -> bool:
    marks = item.iter_markers("soak")
    return any(not mark.args or mark.args[0] in _case(item) for mark in marks)


def _case(item: pytest.Item) -> str:
    """Returns what stands in brackets: "rest-chat"."""
    return item.nodeid.partition("[")[2]
