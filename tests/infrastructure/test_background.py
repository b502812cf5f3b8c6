"""Work in threads of its own, beside those of whoever wakes it."""

import threading
from threading import Event

import pytest

from infrastructure.background import Background

pytestmark = pytest.mark.unit


def join(name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(30)


def test_it_is_woken_and_goes_on_by_itself_once_for_each_place() -> None:
    goes_on, begun = Event(), list[bool]()
    work = Background("two", lambda: begun.append(goes_on.wait(30)), places=2)
    for _ in range(5):
        work.wake()
    assert begun == []
    goes_on.set()
    join("two")
    assert begun == [True, True]
    work.wake()
    join("two")
    assert len(begun) == 3


def test_what_breaks_is_logged_and_leaves_its_place(caplog: pytest.LogCaptureFixture) -> None:
    times = list[int]()

    def breaks() -> None:
        times.append(1)
        raise RuntimeError

    work = Background("broken", breaks)
    for _ in range(2):
        work.wake()
        join("broken")
    assert len(times) == 2
    assert "broken broke off" in caplog.text
