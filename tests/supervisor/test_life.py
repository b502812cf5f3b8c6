"""The server of an engine, from its start to its end; PostgreSQL is away, which keeps nobody up."""

import sys
from pathlib import Path

import pytest

from config.supervisor.child import Child, Stage
from config.supervisor.engines.server_group import __file__ as group
from config.supervisor.engines.server_life import ServerLife, ServerWatch

pytestmark = pytest.mark.unit
NOWHERE = "postgres://nobody@127.0.0.1:9/none"


def child(folder: Path, *command: str) -> Child:
    return Child("engine.far", command, {}, folder / "log", folder, Stage.SERVER)


class Unwatched(ServerWatch):
    """The watch of a server that is always well."""

    def __init__(self) -> None:
        pass

    def begin(self) -> None:
        pass

    async def problem(self, child: Child) -> str:
        return ""


async def lived(child: Child, *, ready: bool, within_s: float) -> None:
    async def is_ready() -> bool:
        return ready

    child.spawn()
    await ServerLife("far", NOWHERE, is_ready, within_s, Unwatched())(child)


async def test_one_that_is_not_ready_in_time_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = child(tmp_path, "sleep", "60")
    await lived(slow, ready=False, within_s=0.1)
    assert slow.how_it_ended() == "was killed by SIGKILL"
    said = "ALERT engine:server far: engine.far was not ready within 0.1 s"
    assert capsys.readouterr().out.strip() == said


async def test_its_end_is_an_alert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await lived(child(tmp_path, "sh", "-c", "exit 3"), ready=True, within_s=60)
    assert "ALERT engine:server far: engine.far ended with exit code 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "end"),
    [("exit 3", "ended with exit code 3"), ("kill -SEGV $$", "was killed by SIGSEGV")],
)
async def test_a_group_ends_like_its_server(tmp_path: Path, script: str, end: str) -> None:
    grouped = child(tmp_path, sys.executable, "-I", group, "sh", "-c", script)
    grouped.spawn()
    await grouped.ended()
    assert grouped.how_it_ended() == end


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    grouped = child(tmp_path, sys.executable, "-I", group, "/no/such/program")
    grouped.spawn()
    await grouped.ended()
    assert grouped.last_lines(1) == ["cannot run /no/such/program: No such file or directory"]
