"""GPUs as a worker exports them, from a driver that is staged: whole, in part, and gone."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from config.metrics import gpus, scraped_sources
from config.metrics.gpus import Gpus
from config.metrics.scraped_sources import ScrapedFigures, Source
from infrastructure.metrics import FAMILIES

pytestmark = pytest.mark.unit
MIB = 1024 * 1024
GONE = pynvml.NVML_ERROR_GPU_IS_LOST
UNSUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
UNLOADED = pynvml.NVML_ERROR_DRIVER_NOT_LOADED


class Driver:
    """Stands for the module pynvml. `broken`: what is raised, by call or by call and index."""

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    nvmlMemory_v2 = pynvml.nvmlMemory_v2

    def __init__(self, count: int = 2) -> None:
        self.count, self.begun, self.calls = count, 0, 0
        self.broken: dict[str | tuple[str, int], int] = {}
        self.hangs: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_ERROR_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def _at(self, call: str, index: int = -1) -> None:
        self.calls += 1
        self.hangs()
        code = self.broken.get(call) or self.broken.get((call, index)) or self.broken.get("all")
        if code:
            raise pynvml.NVMLError(code)

    def nvmlInit(self) -> None:
        self._at("init")
        self.begun += 1

    def nvmlShutdown(self) -> None:
        self._at("shutdown")

    def nvmlDeviceGetCount(self) -> int:
        self._at("count")
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self._at("handle", index)
        return index

    def nvmlDeviceGetUUID(self, gpu: int) -> str:
        return f"GPU-{gpu}"

    def nvmlDeviceGetName(self, gpu: int) -> bytes:
        return b"NVIDIA H100"

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:
        self._at("use", gpu)
        return SimpleNamespace(gpu=75 + gpu, memory=40)

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        self._at("temperature", gpu)
        return 61 + gpu

    def nvmlDeviceGetMemoryInfo(self, gpu: int, version: int = 0) -> Any:
        self._at("memory_v2" if version else "memory", gpu)
        kept = 500 * MIB if version else 0
        used = 70_000 * MIB
        return SimpleNamespace(used=used, free=11_059 * MIB, total=used + 11_059 * MIB + kept)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        self._at("power", gpu)
        return 412_500

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: int) -> int:
        self._at("energy", gpu)
        return 9_000_000_000


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def known(driver: Driver) -> Iterator[ScrapedFigures]:
    each = Gpus(lambda: driver)
    yield ScrapedFigures({"gpu": Source(each.read, each.forget)})
    each.forget()
    scraped_sources.READABLE.forget()
    scraped_sources.AGE.forget()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraped_sources, "EVERY_S", -1.0)


def told(name: str) -> dict[str, float]:
    """Returns the figures by the GPU's number."""
    (metric,) = FAMILIES[name].collect()
    return {each.labels["gpu"]: each.value for each in metric.samples}


def readable() -> list[float]:
    (metric,) = scraped_sources.READABLE.collect()
    return [sample.value for sample in metric.samples]


def test_each_gpu_is_told_in_the_units_of_dcgm(known: ScrapedFigures) -> None:
    known.bring()
    assert told("DCGM_FI_DEV_GPU_UTIL") == {"0": 75, "1": 76}
    assert told("DCGM_FI_DEV_MEM_COPY_UTIL") == {"0": 40, "1": 40}
    assert told("DCGM_FI_DEV_GPU_TEMP") == {"0": 61, "1": 62}
    assert told("DCGM_FI_DEV_FB_USED") == {"0": 70_000, "1": 70_000}
    assert told("DCGM_FI_DEV_FB_FREE") == {"0": 11_059, "1": 11_059}
    assert told("DCGM_FI_DEV_FB_TOTAL") == {"0": 81_559, "1": 81_559}
    assert told("DCGM_FI_DEV_POWER_USAGE") == {"0": 412.5, "1": 412.5}
    assert told("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == {"0": 9e9, "1": 9e9}
    assert told("forebay_gpu_up") == {"0": 1, "1": 1}
    assert readable() == [1]
    (metric,) = gpus.BUSY.collect()
    labels = metric.samples[0].labels
    assert list(labels) == ["gpu", "UUID", "modelName", "Hostname"]
    assert (labels["UUID"], labels["modelName"]) == ("GPU-0", "NVIDIA H100")


def test_a_host_without_a_driver_says_nothing_at_all(caplog: pytest.LogCaptureFixture) -> None:
    missing = Driver()
    for broken in (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, UNLOADED):
        missing.broken = {"init": broken}
        each = Gpus(lambda: missing)
        ScrapedFigures({"gpu": Source(each.read, each.forget)}).bring()
        assert told("forebay_gpu_up") == {}
        assert readable() == []
    assert not caplog.records


def test_the_binding_is_not_even_loaded_without_its_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr("ctypes.CDLL", missing)
    monkeypatch.setattr("importlib.import_module", pytest.fail)
    with pytest.raises(gpus.NotHere):
        Gpus().read()


def test_a_driver_that_goes_leaves_no_old_figures_and_may_come_back(
    known: ScrapedFigures, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    known.bring()
    driver.broken = {"all": UNLOADED}
    for _ in range(2):
        known.bring()
        assert told("DCGM_FI_DEV_GPU_TEMP") == told("forebay_gpu_up") == {}
        assert readable() == [0]
    assert caplog.records[0].levelno == logging.WARNING
    driver.broken = {}
    known.bring()
    assert driver.begun == 2
    assert told("forebay_gpu_up") == {"0": 1, "1": 1}
    assert readable() == [1]


@pytest.mark.parametrize("call", ["handle", "use", "energy"])
def test_one_that_fell_off_the_bus_harms_no_other(
    known: ScrapedFigures, driver: Driver, call: str
) -> None:
    known.bring()
    driver.broken = {(call, 1): GONE}
    known.bring()
    assert told("forebay_gpu_up") == {"0": 1, "1": 0}
    assert told("DCGM_FI_DEV_GPU_TEMP") == {"0": 61}
    (metric,) = gpus.UP.collect()
    assert {each.labels["UUID"] for each in metric.samples} == {"GPU-0", "GPU-1"}
    assert readable() == [1]


def test_one_that_is_no_longer_counted_is_missed(known: ScrapedFigures, driver: Driver) -> None:
    known.bring()
    driver.count = 1
    known.bring()
    assert told("forebay_gpu_up") == {"0": 1, "1": 0}


def test_one_that_was_lost_before_we_came_has_a_number_alone(
    known: ScrapedFigures, driver: Driver
) -> None:
    driver.broken = {("handle", 1): GONE}
    known.bring()
    assert told("forebay_gpu_up") == {"0": 1, "1": 0}


def test_what_a_gpu_cannot_tell_is_left_out(known: ScrapedFigures, driver: Driver) -> None:
    driver.broken = {("power", 0): UNSUPPORTED, ("energy", 0): pynvml.NVML_ERROR_UNKNOWN}
    known.bring()
    assert told("DCGM_FI_DEV_POWER_USAGE") == {"1": 412.5}
    assert told("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == {"1": 9e9}
    assert told("DCGM_FI_DEV_GPU_TEMP") == {"0": 61, "1": 62}


def test_a_divided_gpu_tells_what_the_whole_card_has(known: ScrapedFigures, driver: Driver) -> None:
    driver.broken = {("use", 0): UNSUPPORTED}  # NVML knows none of a GPU with MIG
    known.bring()
    assert told("DCGM_FI_DEV_GPU_UTIL") == {"1": 76}
    assert told("DCGM_FI_DEV_FB_USED") == {"0": 70_000, "1": 70_000}
    assert told("forebay_gpu_up") == {"0": 1, "1": 1}


def test_an_older_driver_counts_its_own_memory_as_used(
    known: ScrapedFigures, driver: Driver
) -> None:
    driver.broken = {"memory_v2": pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}
    known.bring()
    assert told("DCGM_FI_DEV_FB_TOTAL") == {"0": 81_059, "1": 81_059}


def test_a_scrape_waits_for_no_driver_that_hangs(
    known: ScrapedFigures, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scraped_sources, "WAIT_S", 0.05)
    over = threading.Event()
    driver.hangs = lambda: over.wait(20)
    began = time.monotonic()
    known.bring()
    assert time.monotonic() - began < 5
    assert driver.calls == 1
    monkeypatch.setattr(scraped_sources, "HANGS_S", 0.0)
    known.bring()
    assert driver.calls == 1  # nobody asks it beside the first
    assert readable() == [0]
    over.set()
    monkeypatch.setattr(scraped_sources, "WAIT_S", 10.0)
    known.bring()
    known.bring()
    assert readable() == [1]
