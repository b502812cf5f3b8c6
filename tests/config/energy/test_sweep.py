"""The sweep: what it measures, what it refuses, and how its file is read."""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from audit.actions import Action
from config.energy import sweep as sweep_module
from config.energy import sweep_file
from config.energy.agent import Clocks
from config.energy.bounds import Bounds, Range
from config.energy.client import AgentClient, AgentError
from config.energy.measuring import Load, Measured, NothingMeasured, measure
from config.energy.sweep import NotNow, Sweeping, _require_idle, _sharers, _spread
from config.energy.sweep_file import Sweep
from inference.energy.clock_choice import Bound, Level, Point, levels, loads
from inference.engine_entries import EngineEntry
from inference.engines import engines, forget, put_in_force
from inference.engines.base import Engine, EngineConfig, EngineFailed
from inference.engines.kinds.vllm import VllmEngine
from inference.queue.occupancy import Occupancy
from infrastructure.gpu_driver import Driver
from tests.config.energy.gpus import StagedGpus

pytestmark = pytest.mark.unit
PIECE = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"completion_tokens":20}}\n\ndata: [DONE]\n\n'


def engine(url: str = "http://127.0.0.1:9") -> Engine:
    config = EngineConfig("qwen", "vllm", url, "qwen", slots=16, gpus=[0], id="qwen.1")
    return VllmEngine(config)


async def test_it_counts_tokens_energy_and_the_slowest_answers() -> None:
    bodies = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        bodies.append(json.loads(await request.read()))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in (PIECE, PIECE, LAST):
            await response.write(piece)
        return response

    server = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", 0).start()
    port = server.addresses[0][1]
    began = time.monotonic()

    def millijoules() -> int:
        return int((time.monotonic() - began) * 300_000)  # 300 W

    load = Load(requests=3, seconds=0.2, prompt_tokens=10, answer_tokens=20)
    measured = await measure(engine(f"http://127.0.0.1:{port}"), load, millijoules)
    await server.cleanup()

    answers = len(bodies) - load.requests  # the first ones only warm it up
    assert answers >= load.requests
    assert measured.tokens == 20 * answers, "the engine's own count"
    assert measured.millijoules == pytest.approx(300_000 * measured.seconds, rel=0.5)
    assert 0 < measured.first_token_p99_ms <= measured.answer_p99_ms
    assert bodies[0]["max_tokens"] == 20
    assert len({body["messages"][0]["content"] for body in bodies}) == len(bodies)


async def test_an_engine_that_is_away_and_a_counter_that_stands_still_are_told() -> None:
    load = Load(requests=1, seconds=0.1, prompt_tokens=10, answer_tokens=20)
    with pytest.raises(EngineFailed):
        await measure(engine(), load, lambda: 0)

    quick = Load(requests=0, seconds=0.1, prompt_tokens=10, answer_tokens=20)
    with pytest.raises(NothingMeasured):
        await measure(engine(), quick, lambda: 7)


class Agent(AgentClient):
    """The agent of this process, with a driver that is staged."""

    def __init__(self, gpus: StagedGpus, *, dry_run: bool = False, highest_mhz: int = 1980) -> None:
        super().__init__()
        bounds = Bounds({"0": Range(900, highest_mhz)}, frozenset({1}), dry_run)
        self.clocks = Clocks(bounds, Driver(gpus.load()))
        self.locks: list[int] = []

    def _ask(self, request: str) -> str:
        answer = self.clocks.answer(request)
        if answer.startswith("refused"):
            raise AgentError(answer.removeprefix("refused: "))
        return answer


OPTIONS = argparse.Namespace(seconds=1.0, prompt_tokens=500, answer_tokens=200)


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StagedGpus:
    monkeypatch.setenv("FOREBAY_TEST_NVML_STATE", "")
    return StagedGpus(tmp_path)


@pytest.fixture
def on_record(monkeypatch: pytest.MonkeyPatch) -> list[Action]:
    acts: list[Action] = []

    def record(action: Action, _detail: dict[str, Any]) -> bool:
        acts.append(action)
        return True

    monkeypatch.setattr(sweep_module, "record", record)
    return acts


def test_each_clock_is_held_while_it_is_measured_and_given_back(
    gpus: StagedGpus, on_record: list[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def measured(_engine: Engine, load: Load, _millijoules: object) -> Measured:
        mhz = gpus.clocks["0"]
        seen.append((load.requests, mhz))
        assert mhz
        return Measured(1000, 2.0, mhz * 1000, 1000 + 1980 - mhz, 50)

    monkeypatch.setattr(sweep_module, "measure", measured)
    sweep = Sweeping(engine(), Agent(gpus), OPTIONS).run([(1, 1980), (1, 1005), (4, 510)])

    assert seen == [(1, 1980), (1, 1005)], "510 MHz is out of the agent's bounds"
    assert gpus.clocks["0"] is None
    assert on_record == [Action.GPU_LOCK, Action.GPU_RESET]
    assert sweep.points[0] == Point(1, 1980, 1.98, 500.0, 1000, 50)
    assert levels(sweep.points, Bound(slower=1.0)) == [Level(1, 1005)]


def test_a_failed_measurement_gives_the_clock_back(
    gpus: StagedGpus, on_record: list[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_arguments: object) -> Measured:
        raise NothingMeasured("no tokens")

    monkeypatch.setattr(sweep_module, "measure", fails)
    with pytest.raises(NothingMeasured):
        Sweeping(engine(), Agent(gpus), OPTIONS).run([(1, 1980)])

    assert gpus.clocks["0"] is None
    assert on_record == [Action.GPU_LOCK, Action.GPU_RESET]


def test_a_lock_that_was_lost_for_a_moment_makes_the_measurement_worthless(
    gpus: StagedGpus, on_record: list[Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Restarted(Agent):
        """An agent that is away for the second of its requests alone."""

        requests = 0

        def _ask(self, request: str) -> str:
            self.requests += 1
            if self.requests == 2:
                raise AgentError("no energy agent")
            return super()._ask(request)

    async def measured(*_arguments: object) -> Measured:
        await asyncio.sleep(0.2)
        return Measured(1000, 2.0, 1000, 1000, 50)

    monkeypatch.setattr(sweep_module, "measure", measured)
    monkeypatch.setattr(sweep_module, "RENEW_S", 0.01)
    with pytest.raises(AgentError, match="no energy agent"):
        Sweeping(engine(), Restarted(gpus), OPTIONS).run([(1, 1980)])
    assert gpus.clocks["0"] is None


def test_without_the_highest_clock_there_is_nothing_to_compare_with(
    gpus: StagedGpus, on_record: list[Action]
) -> None:
    agent = Agent(gpus, highest_mhz=1500)
    with pytest.raises(NotNow, match="900 to 1500 MHz, not 1980, and others are compared"):
        Sweeping(engine(), agent, OPTIONS).run([(1, 1980), (1, 1005)])


def test_engines_that_share_a_gpu_have_to_be_idle_too(
    gpus: StagedGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.change(uuids={"0": "GPU-1b2c", "1": "GPU-3d4e"})
    load = gpus.load()
    monkeypatch.setattr(sweep_module, "Driver", lambda: Driver(load))
    swept = engine()
    entries = [
        EngineEntry("m", f"p{n}", f"p{n}", {"kind": "vllm", "url": url, "gpus": [gpu]})
        for n, (url, gpu) in enumerate(
            [
                ("http://127.0.0.1:1", "GPU-1b2c"),
                ("http://127.0.0.1:2", 1),
                ("http://192.0.2.7:8000", 0),
            ]
        )
    ]
    try:
        put_in_force(entries)
        assert [each.config.id for each in _sharers(swept)] == ["qwen.1", "p0"]
    finally:
        forget()


def test_an_engine_is_measured_only_while_nobody_can_use_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = Counter[str]()
    monkeypatch.setattr(
        sweep_module, "occupancy", lambda names: {n: Occupancy(0, 0, running) for n in names}
    )
    fields = {"kind": "vllm", "url": "http://127.0.0.1:1", "gpus": [0]}
    try:
        put_in_force(
            [EngineEntry("m", n, n, fields, from_file=n == "file") for n in ("file", "added")]
        )
        of_file, of_operator = engines()
        with pytest.raises(NotNow, match="stop its workers, and say --workers-are-stopped"):
            _require_idle(of_file)
        with pytest.raises(NotNow, match="drain it first"):
            _require_idle(of_operator, workers_are_stopped=True)
        _require_idle(of_file, workers_are_stopped=True)
        running["file"] += 1
        with pytest.raises(NotNow, match="still runs 1 requests"):
            _require_idle(of_file, workers_are_stopped=True)
    finally:
        forget()


def test_a_dry_run_measures_nothing(gpus: StagedGpus, on_record: list[Action]) -> None:
    with pytest.raises(NotNow, match="dry run"):
        Sweeping(engine(), Agent(gpus, dry_run=True), OPTIONS).run([(1, 1980)])


def test_without_a_record_no_clock_is_changed(
    gpus: StagedGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "record", lambda *_: False)
    with pytest.raises(NotNow, match="without a record"):
        Sweeping(engine(), Agent(gpus), OPTIONS).run([(1, 1980)])
    assert gpus.state.get("locks") is None


def test_clocks_and_loads_are_spread_evenly() -> None:
    clocks = list(range(210, 1981, 15))
    assert _spread(clocks, 4) == [1980, 1395, 795, 210]
    assert _spread([1005, 1980], 8) == [1980, 1005]
    assert loads(16) == [1, 2, 4, 6, 8, 12, 16]


def test_the_file_has_a_sweep_of_each_engine(tmp_path: Path) -> None:
    first = Sweep("a", ["0"], "2026-01-01T00:00:00+00:00", 30, 500, 200, [Point(1, 2, 3, 4, 5, 6)])
    second = Sweep("b", ["1"], "2026-01-02T00:00:00+00:00", 30, 500, 200, [])
    assert sweep_file.read(tmp_path) == {}
    sweep_file.write(tmp_path, first)
    file = sweep_file.write(tmp_path, second)
    assert sweep_file.read(tmp_path) == {"a": first, "b": second}

    file.write_text('{"a": {"engine": 1}}')
    with pytest.raises(ValueError, match=r"sweeps\.json"):
        sweep_file.read(tmp_path)
