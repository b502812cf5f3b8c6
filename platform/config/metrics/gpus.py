"""The GPUs of this host, as its driver reports them (NVML), for the metrics of workers.

Names, units and labels are those of NVIDIA's dcgm-exporter: a rule or a panel holds for either. The
thread of config/metrics/scraped_sources.py asks the driver when somebody scrapes; no request does.
"""

import ctypes
import importlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from infrastructure.metrics import ANY_OF_FEW, Gauge, Label

_GPU = tuple(Label(name, ANY_OF_FEW) for name in ("gpu", "UUID", "modelName", "Hostname"))
_MIB = 1024 * 1024
BUSY = Gauge("DCGM_FI_DEV_GPU_UTIL", "Share of the time in which it computed, in percent", *_GPU)
COPYING = Gauge(
    "DCGM_FI_DEV_MEM_COPY_UTIL", "Share of the time in which its memory was busy, in percent", *_GPU
)
TEMPERATURE = Gauge("DCGM_FI_DEV_GPU_TEMP", "Temperature of the GPU in °C", *_GPU)
USED = Gauge("DCGM_FI_DEV_FB_USED", "Memory in use, in MiB", *_GPU)
FREE = Gauge("DCGM_FI_DEV_FB_FREE", "Memory that is free, in MiB", *_GPU)
TOTAL = Gauge("DCGM_FI_DEV_FB_TOTAL", "Memory that it has, in MiB", *_GPU)
POWER = Gauge("DCGM_FI_DEV_POWER_USAGE", "Power that it draws, in W", *_GPU)
ENERGY = Gauge(
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
    "Energy that it has used since its driver was loaded, in mJ: it only grows",
    *_GPU,
)
UP = Gauge(
    "forebay_gpu_up",
    "1 where the driver reaches it; 0 for one that has been there and is lost",
    *_GPU,
)
FIGURES = (BUSY, COPYING, TEMPERATURE, USED, FREE, TOTAL, POWER, ENERGY, UP)
_Figure = tuple[Gauge, float]


class NotHere(Exception):
    """Raised if this host has no driver, and had none before."""


def _load() -> Any:
    """Import the binding, which takes 6 MB, only where there is a driver."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        raise NotHere from None
    return importlib.import_module("pynvml")


class Gpus:
    """The host's GPUs. One thread calls both methods."""

    def __init__(self, load: Callable[[], Any] = _load) -> None:
        self._load = load
        self._nvml: Any = None
        self._known: set[tuple[str, ...]] = set()
        self._host = socket.gethostname()

    def read(self) -> None:
        """Read all figures.

        Raises NotHere, and NVML's own error where a driver that was there does not answer.
        """
        nvml = self._initialized()
        figures_by_gauge: dict[Gauge, dict[tuple[str, ...], float]] = {
            gauge: {} for gauge in FIGURES
        }
        for index in range(nvml.nvmlDeviceGetCount()):
            names, gpu_figures = self._read_gpu(nvml, index)
            for gauge, figure in gpu_figures:
                figures_by_gauge[gauge][names] = figure
        figures_by_gauge[UP] = {**dict.fromkeys(self._known, 0.0), **figures_by_gauge[UP]}
        for gauge, values in figures_by_gauge.items():
            gauge.set_all(values)

    def forget(self) -> None:
        """Forget the driver, so that the next reading begins anew: it may be back."""
        for gauge in FIGURES:
            gauge.forget()
        nvml, self._nvml = self._nvml, None
        try:
            if nvml:
                nvml.nvmlShutdown()
        except nvml.NVMLError:
            pass

    def _initialized(self) -> Any:
        if self._nvml is None:
            nvml = self._load()
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                absent = nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED
                if not self._known and error.value in absent:
                    raise NotHere from None
                raise
            self._nvml = nvml
        return self._nvml

    def _read_gpu(self, nvml: Any, index: int) -> tuple[tuple[str, ...], list[_Figure]]:
        """Read one GPU; one that cannot be reached harms no other."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            names = self._names(nvml, handle, index)
            return names, [*_figures(nvml, handle), (UP, 1)]
        except nvml.NVMLError as error:
            if error.value in _driver_gone(nvml):
                raise
            unnamed = (str(index), "", "", self._host)
            lost = next((names for names in self._known if names[0] == str(index)), unnamed)
            return lost, [(UP, 0)]

    def _names(self, nvml: Any, handle: Any, index: int) -> tuple[str, ...]:
        uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        names = str(index), _text(uuid), _text(model), self._host
        # The driver numbers GPUs anew when it is loaded again.
        self._known = {one for one in self._known if one[1] != names[1]}
        self._known.add(names)
        return names


def _figures(nvml: Any, handle: Any) -> Iterator[_Figure]:
    """Yield the figures that this GPU has a sensor for; some are not available for parts of one."""
    for query in _QUERIES:
        try:
            yield from query(nvml, handle)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, *_driver_gone(nvml)):
                raise


def _use(nvml: Any, handle: Any) -> list[_Figure]:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return [(BUSY, rates.gpu), (COPYING, rates.memory)]


def _memory(nvml: Any, handle: Any) -> list[_Figure]:
    """Returns memory in MiB; as with DCGM, the driver's own counts as not in use.

    Older drivers count it as used.
    """
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, *_driver_gone(nvml)):
            raise
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return [(USED, memory.used / _MIB), (FREE, memory.free / _MIB), (TOTAL, memory.total / _MIB)]


_QUERIES: tuple[Callable[[Any, Any], list[_Figure]], ...] = (
    _use,
    _memory,
    lambda nvml, gpu: [
        (TEMPERATURE, nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))
    ],
    lambda nvml, gpu: [(POWER, nvml.nvmlDeviceGetPowerUsage(gpu) / 1000)],
    lambda nvml, gpu: [(ENERGY, nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))],
)


def _driver_gone(nvml: Any) -> tuple[int, ...]:
    return (
        nvml.NVML_ERROR_UNINITIALIZED,
        nvml.NVML_ERROR_DRIVER_NOT_LOADED,
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    )


def _text(word: str | bytes) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else word
