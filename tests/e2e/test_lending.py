"""A pool of the bundled engine lends a server to a job, and gets it back under requests."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.servers.child import Child
from bench.servers.processes import all_processes
from config.environment import PROJECT
from tests.e2e.ask import HI, eventually
from tests.e2e.conftest import Platform
from tests.e2e.jobs import JobTenant
from tests.e2e.test_faults import kill
from tests.e2e.test_launched_engines import bundled
from tests.inference.jobs.scripted_trainer import write_program

pytestmark = [pytest.mark.e2e, pytest.mark.soak, pytest.mark.timeout(1800)]
RETURN_S = 20
LENT = "small.2"
STEPS, STEP_S = 1200, 0.1


class Lending(Platform):
    """Two servers of the bundled model; the second one is lent in quiet moments."""

    def __init__(self, folder: Path) -> None:
        server = {"launch": {"model": str(bundled())}}
        small = {
            "kind": "llama_cpp",
            "slots": 2,
            "context_length": 512,
            "lending": {"return_s": RETURN_S, "spare": False},
            "engines": [server, server],
        }
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.e2e.lending_settings",
            "PYTHONPATH": str(PROJECT),
            "FOREBAY_TRAINER_PYTHON": str(write_program(folder)),
        }
        super().__init__(folder, {"small": {"pools": {"small": small}}}, variables=variables)
        self.lenders = JobTenant(self, "lenders", folder / "diary")

    def engine(self, name: str = LENT) -> dict[str, Any]:
        (row,) = self.rows("select to_jsonb(e) from inference_engine e where name = %s", name)
        engine: dict[str, Any] = row[0]
        return engine

    def new_job(self) -> str:
        return self.lenders.begin("prepare", steps=STEPS, step_s=STEP_S, save_every=50)

    @property
    def steps(self) -> list[int]:
        return self.lenders.steps

    def is_lent(self) -> bool:
        row = self.engine()
        return bool(row["lent_since"] and row["gpu_free"])

    def has_server(self) -> bool:
        port = self.engine()["url"].rpartition(":")[2]
        commands = (" ".join(each.command) for each in all_processes().values())
        return any("llama_cpp_server" in it and f"--port {port}" in it for it in commands)


class Rush:
    """Clients that ask without pause until they are told to stop."""

    def __init__(self, platform: Platform, clients: int = 5) -> None:
        self._platform, self._over = platform, threading.Event()
        self.statuses: list[int] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        body = {"model": "small", "messages": HI, "max_tokens": 40}
        headers = {"Authorization": f"Bearer {self._platform.key}"}
        url = f"{self._platform.url}/v1/chat/completions"
        while not self._over.is_set():
            answer = httpx.post(url, json=body, headers=headers, timeout=300)
            self.statuses.append(answer.status_code)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(300)


@pytest.fixture(scope="module")
def lending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lending]:
    platform = Lending(tmp_path_factory.mktemp("lending"))
    yield platform
    platform.stop()


@pytest.mark.slow(seconds=240)
def test_a_job_gets_an_idle_engine_and_gives_it_back_under_requests(lending: Lending) -> None:
    job = lending.new_job()
    eventually(lending.is_lent, 120)
    assert not lending.has_server()
    eventually(lambda: lending.steps, 60)

    rush = Rush(lending)
    try:
        eventually(lambda: lending.engine()["returning_since"], 60)
        asked_at = time.monotonic()
        eventually(lambda: not lending.engine()["lent_since"], RETURN_S + 30)
        left_s = time.monotonic() - asked_at
        begun = len(lending.steps)
        eventually(lambda: not lending.engine()["draining"], 120)
        assert len(lending.steps) == begun, "no step of it beside the engine"
    finally:
        rush.end()
    print(f"the job left after {left_s:.1f} s")
    assert set(rush.statuses) == {200}
    assert lending.engine()["last_return_s"] < RETURN_S + 120
    actions = lending.rows(
        "select action from audit_event where actor = 'system:lending' order by at, id"
    )
    assert [action for (action,) in actions] == [
        "engine:lend",
        "engine:take_back",
        "engine:hand_back",
    ]

    _its_worker_is_killed(lending)
    _its_supervisor_is_killed(lending)
    eventually(lambda: lending.lenders.job(job)["state"] == "succeeded", 400)
    assert sorted(set(lending.steps)) == list(range(1, STEPS + 1)), "no step is lost"
    _is_billed_once(lending, job)


def _its_worker_is_killed(lending: Lending) -> None:
    """The job goes on from its last checkpoint."""
    eventually(lending.is_lent, 120)
    before = len(lending.steps)
    eventually(lambda: len(lending.steps) > before, 60)
    kill(lending.pids("worker"))
    again = len(lending.steps)
    eventually(lambda: len(lending.steps) > again, 120)
    assert lending.is_lent()


def _its_supervisor_is_killed(lending: Lending) -> None:
    before = len(lending.steps)
    kill([lending.child.pid])
    lending.child.process.wait(30)
    lending.child = Child(lending.child.command, lending.child.log, lending.env)
    lending.child.wait_until_ready(f"{lending.url}/readyz", 180)
    # What the killed one had started answers until the new one ends it.
    eventually(lambda: lending.is_lent() and not lending.has_server(), 120)
    eventually(lambda: len(lending.steps) > before, 120)


def _is_billed_once(lending: Lending, job: str) -> None:
    shown = lending.lenders.job(job)
    usage = lending.rows(
        "select t.name, u.pool, u.gpu_ms from inference_usage u "
        "join tenants_tenant t on t.id = u.tenant_id where u.gpu_ms > 0"
    )
    assert {(tenant, pool) for tenant, pool, _ in usage} == {("lenders", "small:jobs")}
    assert sum(gpu_ms for _, _, gpu_ms in usage) == shown["gpu_ms"]
    worked_ms = STEPS * STEP_S * 1000
    assert shown["gpu_ms"] > 0.9 * worked_ms
    (reserved,) = lending.rows("select count(*) from inference_completion where state = 'open'")
    assert reserved == (0,)
