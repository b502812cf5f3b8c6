"""The energy of requests: all that the GPUs used is charged once, to whom they worked for."""

import asyncio
from pathlib import Path

import pytest
from channels.db import database_sync_to_async
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.engine_entries import EngineEntry
from inference.engines import forget, put_in_force
from inference.engines.base import Engine, EngineConfig
from inference.engines.kinds.vllm import VllmEngine
from inference.models import Usage
from inference.worker import energy_meter
from inference.worker import runner as module
from inference.worker.energy_meter import EnergyMeter, meter_of
from infrastructure.gpu_driver import Driver, GpuError
from tests.config.energy.gpus import StagedGpus
from tests.inference.orders import chunk, usage
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine


class Gpu:
    """A GPU that draws `watts`, and a clock that a test moves."""

    def __init__(self, part: float = 1.0) -> None:
        self.now, self.millijoules, self.watts = 50.0, 7_000_000.0, 300.0
        self.charged = self.idle = 0.0
        self.part = part
        self.meter = EnergyMeter(lambda: int(self.millijoules), clock=lambda: self.now)
        self.read()

    def run(self, seconds: float) -> None:
        """Let time pass, with a reading each second."""
        while seconds > 0:
            step = min(seconds, 1.0)
            self.pass_time(step)
            self.read()
            seconds -= step

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.millijoules += self.watts * seconds * 1000

    def read(self) -> None:
        charged, idle = self.meter.take_reading(round(self.millijoules), self.part)
        self.charged, self.idle = self.charged + charged, self.idle + idle


@pytest.mark.unit
def test_a_request_alone_takes_what_the_gpu_uses() -> None:
    gpu = Gpu()
    other = gpu.meter.begin()
    gpu.run(5)
    gpu.meter.end(other)
    mark = gpu.meter.begin()
    gpu.run(10)

    assert gpu.meter.end(mark) == pytest.approx(3_000_000, rel=0.01)


@pytest.mark.unit
def test_requests_at_the_same_time_share_it_by_the_time_that_they_run() -> None:
    gpu = Gpu()
    long = gpu.meter.begin()
    gpu.run(10)
    short = gpu.meter.begin()
    gpu.run(10)

    assert gpu.meter.end(short) == pytest.approx(1_500_000, rel=0.01)
    assert gpu.meter.end(long) == pytest.approx(3_000_000 + 1_500_000, rel=0.12)


@pytest.mark.unit
def test_a_worker_with_a_part_of_the_slots_charges_a_part() -> None:
    gpu = Gpu(part=0.25)
    mark = gpu.meter.begin()
    gpu.run(20)

    assert gpu.meter.end(mark) == pytest.approx(1_500_000, rel=0.06)


@pytest.mark.unit
def test_idle_time_is_nobodys() -> None:
    gpu = Gpu()
    gpu.watts = 100
    gpu.run(60)
    assert (gpu.charged, gpu.idle) == (0, 6_000_000)


@pytest.mark.unit
def test_a_driver_that_begins_to_count_anew_charges_nothing_absurd() -> None:
    gpu = Gpu()
    mark = gpu.meter.begin()
    gpu.run(5)
    gpu.millijoules = 0
    gpu.run(5)

    taken = gpu.meter.end(mark)
    assert taken
    assert 0 < taken <= 300 * 10 * 1000


@pytest.mark.unit
def test_a_reading_soon_after_another_makes_no_request_pay_for_a_power_station() -> None:
    gpu = Gpu()
    mark = gpu.meter.begin()
    for seconds, watts in ((1, 100), (1, 500), (0.03, 500), (1, 500)):
        gpu.watts = watts
        gpu.run(seconds)

    assert gpu.meter.end(mark) == pytest.approx(1_115_000, rel=0.02)


@pytest.mark.unit
def test_while_the_driver_cannot_be_read_nothing_is_charged() -> None:
    gpu = Gpu()
    long = gpu.meter.begin()
    gpu.run(10)
    gpu.meter.miss_reading()
    within = gpu.meter.begin()
    gpu.pass_time(600)
    assert gpu.meter.end(within) is None, "not measured, which is not nothing"
    assert gpu.meter.end(long) == pytest.approx(3_000_000, rel=0.11)

    later = gpu.meter.begin()
    gpu.run(10)
    assert gpu.meter.end(later) == pytest.approx(3_000_000, rel=0.11), "and not for the silence"


@pytest.mark.unit
async def test_a_driver_that_never_answers_measures_nothing() -> None:
    def unreadable() -> int:
        raise GpuError("GPU 0: only root may")

    meter = EnergyMeter(unreadable)
    mark = meter.begin()
    keeping = asyncio.create_task(meter.keep("pool", "unreadable"))
    await asyncio.sleep(0.1)
    keeping.cancel()
    assert meter.end(mark) is None


@pytest.mark.unit
async def test_workers_and_engines_of_a_gpu_together_have_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREBAY_TEST_NVML_STATE", "")
    gpus = StagedGpus(tmp_path)
    gpus.change(uuids={"0": "GPU-1b2c"})
    load = gpus.load()
    monkeypatch.setattr(energy_meter, "Driver", lambda: Driver(load))
    monkeypatch.setattr(energy_meter, "EVERY_S", 0.01)
    url = "http://127.0.0.1:8000"
    own = VllmEngine(EngineConfig("m", "vllm", url, "m", slots=8, gpus=[0], id="own"))
    try:
        put_in_force([])
        meter = meter_of(own, 4)
        assert meter
        assert meter._part() == 0.5
        # Added meanwhile, and its GPU is named otherwise.
        fields = {"kind": "vllm", "url": url, "gpus": ["GPU-1b2c"]}
        put_in_force([EngineEntry("m", "other", "other", fields)])
        assert meter._part() == 0.25
        put_in_force([EngineEntry("m", "other", "other", {**fields, "gpus": [1]})])
        assert meter._part() == 0.5

        both = [asyncio.create_task(meter.keep("pool", "own")) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert meter._part() == 0.25, "its entry was changed: its old runner has requests still"
        both[0].cancel()
        await asyncio.sleep(0.1)
        assert meter._part() == 0.5
        both[1].cancel()
    finally:
        forget()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "end", "pass"]), st.floats(0.01, 3.0), st.floats(50.0, 700.0)
    ),
    max_size=40,
)


@pytest.mark.unit
@settings(max_examples=50)
@given(STEPS)
def test_requests_and_idle_time_together_are_what_was_measured(
    steps: list[tuple[str, float, float]],
) -> None:
    gpu, marks, charged = Gpu(), list[float](), 0
    gpu.run(1)  # from here on the power is known
    for act, seconds, watts in steps:
        if act == "begin":
            marks.append(gpu.meter.begin())
        elif act == "end" and marks:
            charged += gpu.meter.end(marks.pop(0)) or 0
        else:
            gpu.watts = watts
            gpu.run(seconds)
    charged += sum(gpu.meter.end(mark) or 0 for mark in marks)
    before = gpu.charged
    gpu.read()
    gpu.watts = 1000.0
    gpu.run(3)  # nobody is charged for it, and what is owed is settled

    used = round(gpu.millijoules) - 7_000_000
    assert charged == pytest.approx(gpu.charged, abs=len(steps) + 1)
    assert gpu.charged + gpu.idle == pytest.approx(used, abs=len(steps) + 10)
    assert before <= gpu.charged


@pytest.mark.unit
def test_engines_without_gpus_of_this_host_have_no_meter() -> None:
    def engine(url: str, gpus: list[int | str]) -> Engine:
        return VllmEngine(EngineConfig("m", "vllm", url, "m", slots=8, gpus=gpus))

    try:
        assert meter_of(engine("http://127.0.0.1:8000", [0]), 4) is not None
        assert meter_of(engine("http://127.0.0.1:8000", []), 4) is None
        assert meter_of(engine("http://192.0.2.7:8000", [0]), 4) is None
        assert meter_of(engine("http://no-such-host.invalid", [0]), 4) is None
    finally:
        forget()


@pytest.mark.parametrize("taken", [4321, None])
async def test_usage_has_what_each_request_took_and_nothing_where_that_is_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, taken: int | None
) -> None:
    class Steady(EnergyMeter):
        def end(self, mark: float) -> int | None:
            super().end(mark)
            return taken

    monkeypatch.setattr(module, "meter_of", lambda _engine, _slots: Steady(lambda: 0))
    orders = await bench.submit(2)
    bench.start(ScriptedEngine([[chunk("Hi")], [chunk(finish="stop"), usage(5, 2)]], slots=2))

    async def settled() -> bool:
        return await database_sync_to_async(rows.count)() == 2

    rows = Usage.objects.filter(completion__in=[order.id for order in orders])
    await until(settled)
    assert await database_sync_to_async(
        lambda: set(rows.values_list("millijoules", flat=True))
    )() == {taken}
