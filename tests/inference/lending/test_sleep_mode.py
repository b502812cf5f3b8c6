"""A vLLM in sleep mode leaves its GPU before a job begins, and wakes before it takes requests."""

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from inference import engines, tasks
from inference.due_tasks import IN_DATABASE
from inference.engine_entries import EngineEntry
from inference.engines.health.reachability import Condition, engine_state
from inference.lending import loans
from inference.lending.sleep_mode import move_sleepers
from inference.models import Engine
from inference.queue.client import client
from inference.registry import following
from inference.registry.checking import check
from tests.inference.fleet import Fleet

pytestmark = pytest.mark.django_db
KEY = "sk-engine"


class Server(ThreadingHTTPServer):
    """Speaks the part of vLLM that sleeps and wakes; `is_stuck`: it does neither."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.is_asleep = self.is_stuck = False
        self.calls: list[str] = []
        self.answers = Event()
        self.answers.set()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer({"is_sleeping": self.server.is_asleep})

    def do_POST(self) -> None:
        self.server.calls.append(self.path)
        self.server.answers.wait(30)
        if not self.server.is_stuck:
            self.server.is_asleep = self.path == "/sleep?level=1"
        self._answer({})

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200 if self.headers["Authorization"] == f"Bearer {KEY}" else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fleet(server: Server, settings: Any) -> Iterator[Fleet]:
    """Three engines, of which the last one is the sleeper."""
    settings.ENERGY_RESTS, settings.ENERGY_HOLD_S, settings.ENERGY_FULL = False, 60, 0.75
    fleet = Fleet(3, lending={"return_s": 20}, sleeps=True, api_key=KEY)
    fleet.now = time.time() - 200
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    fleet.declare(3, url)
    fleet.waiting = 1
    yield fleet
    for name in client().scan_iter("energy:history:*"):
        client().delete(name)
    client().delete(f"lending:unfit:{fleet.pool}.3")


def test_it_sleeps_before_a_job_begins_and_wakes_before_it_serves(
    fleet: Fleet, server: Server
) -> None:
    fleet.see(180, running=0)
    assert (fleet.lent, fleet.stopped) == (["3"], [])
    assert not fleet.engine(3).takes_jobs
    move_sleepers()
    assert server.is_asleep
    assert fleet.engine(3).takes_jobs
    fleet.waiting, fleet.on = 0, (3,)
    fleet.see(2, running=4)
    move_sleepers()
    assert server.is_asleep, "a job is on its GPU"
    loans.leave(f"{fleet.pool}.3:jobs")
    fleet.on = ()
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2"]
    move_sleepers()
    assert not server.is_asleep
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2", "3"]
    assert server.calls == ["/sleep?level=1", "/wake_up"]


def test_one_that_does_not_fall_asleep_is_not_lent_for_a_while(
    fleet: Fleet, server: Server
) -> None:
    server.is_stuck = True
    fleet.see(180, running=0)
    move_sleepers()
    assert fleet.lent == []
    move_sleepers()
    fleet.see(10, running=0)
    assert fleet.lent == []


def test_one_that_does_not_wake_takes_no_requests(fleet: Fleet, server: Server) -> None:
    fleet.see(180, running=0)
    move_sleepers()
    server.is_stuck = True
    fleet.see(2, running=4)
    loans.leave(f"{fleet.pool}.3:jobs")
    move_sleepers()
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2"]
    server.is_stuck = False
    move_sleepers()
    fleet.see(2, running=9)
    assert fleet.awake == ["1", "2", "3"]


def in_force(fleet: Fleet) -> list[str]:
    """Returns the engines that take requests."""
    following.load_once()
    names = [engine.config.id for engine in engines.pools()[fleet.pool].engines]
    engines.forget()
    return [name.removeprefix(f"{fleet.pool}.") for name in names]


def test_one_that_an_operator_resumes_takes_no_requests_before_it_is_awake(
    fleet: Fleet, server: Server
) -> None:
    fleet.see(180, running=0)
    move_sleepers()
    fleet.waiting, fleet.on = 0, (3,)
    Engine.objects.filter(pool__name=fleet.pool).update(from_file=False)
    fleet.engine(3).resume(by="operator:ann")
    assert server.is_asleep, "a job is on its GPU"
    assert in_force(fleet) == ["1"]
    assert engine_state(fleet.engine(3)).condition == Condition.DRAINING
    fleet.see(2, running=4)
    assert fleet.awake == ["1", "2", "3"], "the sleeper does not count as one that serves"
    fleet.on = ()
    loans.leave(f"{fleet.pool}.3:jobs")
    assert in_force(fleet) == ["1", "2"]
    move_sleepers()
    assert not server.is_asleep
    assert in_force(fleet) == ["1", "2", "3"]


@pytest.mark.django_db(transaction=True)
def test_one_that_takes_its_time_keeps_no_other_task_waiting(fleet: Fleet, server: Server) -> None:
    """The jobs process has two threads, and beat sends the task every five seconds."""
    fleet.see(180, running=0)
    server.answers.clear()
    began = time.monotonic()
    for _ in range(3):
        tasks.move_lent_sleepers()
    took = time.monotonic() - began
    _eventually(lambda: bool(server.calls))
    server.answers.set()
    _eventually(lambda: fleet.engine(3).takes_jobs)
    assert took < 5
    assert server.calls == ["/sleep?level=1"]


def _eventually(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_the_option_is_for_vllm_alone() -> None:
    fields = {"kind": "openai", "url": "http://127.0.0.1:1/v1", "sleeps": True}
    with pytest.raises(ValueError, match="sleeps is for the kind vllm"):
        check(EngineEntry("chat", "chat", "chat", fields))


def test_beat_sends_the_task_while_an_engine_falls_asleep_or_wakes() -> None:
    assert "options ? 'sleeps'" in IN_DATABASE["inference.move_sleepers"]
    assert Engine.objects.count() == 0
    move_sleepers()
