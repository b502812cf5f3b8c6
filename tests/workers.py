"""How tests share the workers of pytest-xdist: what belongs to one worker, and who runs alone.

A pytest plugin. Tests that use the same running platform belong together, so that it starts once;
all others belong to their file. `@pytest.mark.alone` is for those that measure time: while one of
them runs, no other test does.
"""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Fixtures of a session that take long to set up.
_SHARED = ("staged", "real", "chatting", "doubled", "echoing")
_SECONDS = {"e2e": 4.0, "browser": 4.0, "unit": 0.02}
_OTHERWISE_S = 0.3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The group with the most to do comes first: then no worker ends long after the others.

    The very first, one for each worker, need no platform: those wait for the first start of one
    (prepared.py).
    """
    if not _is_worker(config):
        return
    weights: defaultdict[str, float] = defaultdict(float)
    for item in items:
        weights[_group(item)] += _seconds(item)
    of_platforms = {_group(item) for item in items if item.get_closest_marker("e2e")}
    heaviest = sorted(weights, key=lambda group: (-weights[group], group))
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    first = [group for group in heaviest if group not in of_platforms][:workers]
    places = {group: place for place, group in enumerate(dict.fromkeys(first + heaviest))}
    items.sort(key=lambda item: places[_group(item)])
    _write_groups({item.nodeid: _group(item) for item in items})


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """By our groups: pytest-xdist 3.8 cannot tell those of its own marks to a pytest since 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _read_groups()[nodeid]

    return ByGroup(config, log)


def _write_groups(groups: dict[str, str]) -> None:
    """For the process that hands out tests and collects none. All workers write the same."""
    place = _shared("groups.json")
    draft = place.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(groups))
    draft.replace(place)


@cache
def _read_groups() -> dict[str, str]:
    found: dict[str, str] = json.loads(_shared("groups.json").read_text())
    return found


def _shared(name: str) -> Path:
    return Path(os.environ["FOREBAY_TESTS_RUN"]) / name


def _group(item: pytest.Item) -> str:
    names = getattr(item, "fixturenames", ())
    return next((name for name in _SHARED if name in names), item.nodeid.partition("::")[0])


def _seconds(item: pytest.Item) -> float:
    if slow := item.get_closest_marker("slow"):
        return float(slow.kwargs["seconds"])
    return next((s for mark, s in _SECONDS.items() if item.get_closest_marker(mark)), _OTHERWISE_S)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Any:
    if not _is_worker(item.config):
        return (yield)
    with _room(alone=item.get_closest_marker("alone") is not None):
        answer = yield
        if nextitem is None or _group(nextitem) != _group(item):
            _end_shared(item)
        return answer


def _end_shared(item: pytest.Item) -> None:
    """Its group is through: an idle platform takes its memory until the run ends."""
    request: Any = SimpleNamespace(node=item)  # whom an error names
    for name in _SHARED:
        for fixture in _fixtures(item).get(name, ()):
            fixture.finish(request)


def _fixtures(item: Any) -> dict[str, Any]:
    found: dict[str, Any] = item._fixtureinfo.name2fixturedefs
    return found


@contextmanager
def _room(*, alone: bool) -> Iterator[None]:
    """Many at once, or one alone. Who waits at the gate lets nobody past: nobody waits forever."""
    with _shared("room").open("w") as room:
        with _shared("gate").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
