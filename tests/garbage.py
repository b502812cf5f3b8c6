"""Python's garbage collector passes over what pytest has collected, which lives until the end.

A pytest plugin. Fifteen thousand tests are millions of objects: looking through them again and
again took a third of the time of collecting them.
"""

import gc

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
