"""Processes that the fork server forks are what `python -m` would have started."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.environment import PROJECT
from config.supervisor import forking
from config.supervisor.child import Child, Stage
from config.supervisor.forking import ForkedProcess
from config.supervisor.home import Home
from config.supervisor.keeper import Keeper
from config.supervisor.own_processes import OwnProcesses
from tests.supervisor.running import bare_environment

pytestmark = pytest.mark.e2e
PROGRAM = "tests.supervisor.forked_program"
PLACES = {
    "DATABASE_URL": "postgres://common@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PYTHONPATH": f"{PROJECT}:{PROJECT / 'platform'}",
}
AsksItself = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    home = Home(tmp_path_factory.mktemp("forks") / "home")
    home.take()
    places = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("FOREBAY_")]:
        places.delenv(name)
    places.setenv("ONLY_OF_THE_FIRST", "yes")
    keeper = Keeper(home, OwnProcesses(home))
    assert asyncio.run(_begun(keeper, home))
    places.undo()
    yield keeper
    asyncio.run(keeper.stop())


async def _begun(keeper: Keeper, home: Home) -> bool:
    keeper.begin_forking({**PLACES, "FOREBAY_HOME": str(home.root)})
    return await keeper.forks.loaded()


@pytest.fixture
def asks_itself(keeper: Keeper, tmp_path: Path) -> AsksItself:
    def ask(code: int = 0, text: str = "", *, is_forked: bool = True, **more: Any) -> Any:
        variables = {**PLACES, "FOREBAY_HOME": str(tmp_path), **more.pop("variables", {})}
        child = _child(keeper, code, variables, is_forked=is_forked, **more)
        with (tmp_path / "answer").open("wb+") as answer:
            reader, writer = os.pipe()
            os.write(writer, text.encode())
            os.close(writer)
            child.spawn(input=reader, output=answer.fileno())
            os.close(reader)
            assert isinstance(child._process, ForkedProcess) == is_forked
            assert asyncio.run(child.ended()) == code, child.last_lines(20)
            answer.seek(0)
            return {**json.load(answer), "child": child}

    return ask


def _child(keeper: Keeper, code: int, variables: dict[str, str], **more: Any) -> Child:
    line = [sys.executable, "-m", PROGRAM, str(code)]
    inherited = bare_environment()
    return keeper.child("one", line, variables, stage=Stage.WORK, inherited=inherited, **more)


def test_a_forked_process_is_our_child_with_what_it_was_given(asks_itself: AsksItself) -> None:
    variables = {"FOREBAY_METRICS_PORT": "9123", "FOREBAY_DATABASE_SCOPE": "system"}
    fork = asks_itself(7, "a question", variables=variables, yields=True)
    assert fork["parent"] == os.getpid()
    assert fork["pid"] == fork["session"] == fork["child"].pid
    assert fork["arguments"] == ["7"]
    assert fork["folder"] == str(PROJECT)
    assert fork["input"] == "a question"
    assert fork["name"] == "one"
    assert fork["port"] == 9123
    assert fork["databases"] == ["default"]
    assert not fork["leftover"]
    assert fork["scheduler"] == os.SCHED_BATCH
    assert fork["threads"] == 1
    assert fork["title"].startswith(f"{sys.executable} -m {PROGRAM} 7")
    assert fork["child"].last_lines(1) == ["to the log"]


def test_it_does_not_differ_from_one_that_starts_by_itself(asks_itself: AsksItself) -> None:
    variables = {"FOREBAY_DATABASE_SCOPE": "none", "DATABASE_URL": "postgres://own@127.0.0.1:1/x"}
    fork = asks_itself(variables=variables)
    alone = asks_itself(variables=variables, is_forked=False)
    for name in ("pid", "session", "random", "child", "title", "threads"):
        del fork[name], alone[name]
    assert fork == alone
    assert fork["user"] == "own"
    assert fork["databases"] == ["default", "system"]


def test_two_forks_share_no_random_numbers(asks_itself: AsksItself) -> None:
    one, other = asks_itself()["random"], asks_itself()["random"]
    assert not {*one} & {*other}


def test_what_others_leave_behind_does_not_become_ours(
    keeper: Keeper, asks_itself: AsksItself
) -> None:
    """A supervisor that were the reaper of all orphans would have to reap them, too."""
    asks_itself()
    reader, writer = os.pipe()
    if not (middle := os.fork()):
        if os.fork():
            os._exit(0)
        while os.getppid() == middle:
            pass
        os.write(writer, str(os.getppid()).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(writer)
    with os.fdopen(reader) as parent:
        assert int(parent.read()) != os.getpid()


async def test_without_the_fork_server_a_process_starts_by_itself(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.take()
    keeper = Keeper(home, OwnProcesses(home))
    keeper.begin_forking({**PLACES, "FOREBAY_HOME": str(home.root)})
    (server,) = keeper._children
    server.send(signal.SIGKILL)
    assert not await keeper.forks.loaded()
    child = await _ended(keeper, home)
    assert not isinstance(child._process, ForkedProcess)
    await keeper.stop()


@pytest.mark.slow(seconds=20)
async def test_a_fork_server_that_dies_or_hangs_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(forking, "_ANSWER_S", 0.3)
    monkeypatch.setattr("config.supervisor.keeper.LONGEST_PAUSE", 0.1)
    home = Home(tmp_path / "home")
    home.take()
    keeper = Keeper(home, OwnProcesses(home))
    assert await _begun(keeper, home)
    (server,) = keeper._children
    first = server.pid
    server.send(signal.SIGSTOP)
    assert not isinstance((await _ended(keeper, home))._process, ForkedProcess)
    assert not isinstance((await _ended(keeper, home))._process, ForkedProcess)
    assert caplog.text.count("processes start by themselves") == 1
    server.send(signal.SIGCONT)  # its link has ended
    async with asyncio.timeout(30):
        while not isinstance((await _ended(keeper, home))._process, ForkedProcess):
            await asyncio.sleep(0.2)
    assert server.pid != first
    await keeper.stop()


async def _ended(keeper: Keeper, home: Home) -> Child:
    child = _child(keeper, 5, {**PLACES, "FOREBAY_HOME": str(home.root)}, is_forked=True)
    child.spawn()
    assert await child.ended() == 5, child.last_lines(20)
    return child
