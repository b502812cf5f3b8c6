"""A server that is ready is started again when it gets nothing done, or takes too much memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from config.supervisor.child import Child, Stage
from config.supervisor.engines import server_life
from config.supervisor.engines.launch_command import EngineServer
from config.supervisor.engines.server_life import ServerLife, ServerWatch
from inference.engine_launch import Launch

pytestmark = pytest.mark.unit
NOWHERE = "postgres://nobody@127.0.0.1:9/none"
KEY = "its-key"


class Figures:
    """The metrics of a llama.cpp: it is busy, and computes something `moves` times."""

    def __init__(self, *, moves: int = 0, busy: int = 1) -> None:
        self.moves, self.busy = moves, busy
        self.status, self.hangs = 200, False
        self.asked, self.decodes, self.ends = 0, 0, Event()

    def answer(self, authorization: str) -> tuple[int, str]:
        self.asked += 1
        assert authorization == f"Bearer {KEY}"
        if self.hangs:
            self.ends.wait(10)
        self.decodes = min(self.asked, self.moves)
        text = f"llamacpp:requests_processing {self.busy}\nllamacpp:n_decode_total {self.decodes}\n"
        return self.status, text


@contextmanager
def served(figures: Figures) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = figures.answer(self.headers["Authorization"])
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield server.server_port
    finally:
        figures.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_life, "WATCH_S", 0.02)
    monkeypatch.setattr(server_life, "AGAIN_S", 0.02)
    monkeypatch.setattr(server_life, "ASK_WITHIN_S", 0.1)

    async def written(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(ServerLife, "_write", written)


async def lived(folder: Path, port: int, *command: str, memory_mb: int = 0, **fields: Any) -> Child:
    """The child of this command, once its life has ended."""
    launch = Launch("a.gguf", memory_mb=memory_mb)
    server = EngineServer("far", "llama_cpp", port, KEY, {"name": "far", **fields}, launch)
    child = Child("engine.far", command, {}, folder / "log", folder, Stage.SERVER)

    async def is_ready() -> bool:
        return True

    child.spawn()
    await ServerLife("far", NOWHERE, is_ready, 60, ServerWatch(server))(child)
    return child


async def test_one_whose_figures_stand_still_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(Figures(moves=5)) as port:
        child = await lived(tmp_path, port, "sleep", "60", stall_s=0.3)
    assert child.how_it_ended() == "was killed by SIGKILL"
    alert = "ALERT engine:server far: engine.far got nothing done for 0.3 s"
    assert alert in capsys.readouterr().out


async def test_one_that_cannot_say_its_figures_is_killed(tmp_path: Path) -> None:
    """A stuck llama.cpp cannot: it answers about its figures between two steps."""
    figures = Figures(moves=5)
    figures.hangs = True
    with served(figures) as port:
        child = await lived(tmp_path, port, "sleep", "60", stall_s=0.3)
    assert child.how_it_ended() == "was killed by SIGKILL"


@pytest.mark.parametrize(
    "figures", [Figures(moves=10_000), Figures(busy=0)], ids=["computes", "idle"]
)
async def test_one_that_gets_on_or_has_nothing_to_do_is_left_alone(
    tmp_path: Path, figures: Figures
) -> None:
    with served(figures) as port:
        child = await lived(tmp_path, port, "sleep", "1", stall_s=0.2)
    assert child.how_it_ended() == "ended with exit code 0"
    assert figures.asked > 3


async def test_one_without_figures_is_left_alone(tmp_path: Path) -> None:
    figures = Figures()
    figures.status = 501
    with served(figures) as port:
        child = await lived(tmp_path, port, "sleep", "1", stall_s=0.2)
    assert child.how_it_ended() == "ended with exit code 0"


GROWS = """
import time
held = bytearray(30_000_000)
time.sleep(0.5)
held += bytearray(200_000_000)
time.sleep(60)
"""


async def test_one_that_grows_past_its_limit_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(Figures(busy=0)) as port:
        await lived(tmp_path, port, sys.executable, "-c", GROWS, memory_mb=150)
    assert "MB of memory, over its limit of 150" in capsys.readouterr().out


async def test_by_itself_a_server_may_take_so_much_more_than_it_had_when_it_was_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_life, "GROWS_MB", 100)
    with served(Figures(busy=0)) as port:
        await lived(tmp_path, port, sys.executable, "-c", GROWS)
    assert "MB of memory, over its limit of 1" in capsys.readouterr().out
