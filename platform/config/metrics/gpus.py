"""The GPUs of this host, as its driver tells of them (NVML), for the metrics of workers.

Names, units and labels are those of NVIDIA's dcgm-exporter: a rule or a panel holds for either. It
is asked when somebody scrapes, by the thread of config/metrics/figures.py, and never by a request.
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
    """This host has no driver, and had none before."""


def _load() -> Any:
    """The binding, which takes 6 MB, only where there is something to bind."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        raise NotHere from None
    return importlib.import_module("pynvml")


class Gpus:
    """Both methods are called by one thread."""

    def __init__(self, load: Callable[[], Any] = _load) -> None:
        self._load = load
        self._nvml: Any = None
        self._known: set[tuple[str, ...]] = set()
        self._host = socket.gethostname()

    def read(self) -> None:
        """Raises NotHere, and NVML's own error where a driver that was there does not answer."""
        nvml = self._begun()
        found: dict[Gauge, dict[tuple[str, ...], float]] = {gauge: {} for gauge in FIGURES}
        for index in range(nvml.nvmlDeviceGetCount()):
            names, figures = self._one(nvml, index)
            for gauge, figure in figures:
                found[gauge][names] = figure
        found[UP] = {**dict.fromkeys(self._known, 0.0), **found[UP]}
        for gauge, read in found.items():
            gauge.set_all(read)

    def forget(self) -> None:
        """The next reading begins anew: perhaps the driver is back."""
        for gauge in FIGURES:
            gauge.forget()
        nvml, self._nvml = self._nvml, None
        try:
            if nvml:
                nvml.nvmlShutdown()
        except nvml.NVMLError:
            pass

    def _begun(self) -> Any:
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

    def _one(self, nvml: Any, index: int) -> tuple[tuple[str, ...], list[_Figure]]:
        """One that cannot be reached harms no other."""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            names = self._names(nvml, handle, index)
            return names, [*_figures(nvml, handle), (UP, 1)]
        except nvml.NVMLError as error:
            if error.value in _driver_gone(nvml):
                raise
            return self._lost(index), [(UP, 0)]

    def _names(self, nvml: Any, handle: Any, index: int) -> tuple[str, ...]:
        uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        names = str(index), _text(uuid), _text(model), self._host
        # Numbers are given anew when the driver is loaded again.
        self._known = {one for one in self._known if one[1] != names[1]}
        self._known.add(names)
        return names

    def _lost(self, index: int) -> tuple[str, ...]:
        known = (names for names in self._known if names[0] == str(index))
        return next(known, (str(index), "", "", self._host))


def _figures(nvml: Any, handle: Any) -> Iterator[_Figure]:
    """What this GPU tells; what it has no sensor for, or shares among its parts, is left out."""
    for read in (_use, _temperature, _memory, _power, _energy):
        try:
            yield from read(nvml, handle)
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, *_driver_gone(nvml)):
                raise


def _use(nvml: Any, handle: Any) -> list[_Figure]:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return [(BUSY, rates.gpu), (COPYING, rates.memory)]


def _temperature(nvml: Any, handle: Any) -> list[_Figure]:
    return [(TEMPERATURE, nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))]


def _memory(nvml: Any, handle: Any) -> list[_Figure]:
    """What the driver keeps for itself is not in use, as with DCGM; older ones count it as used."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, *_driver_gone(nvml)):
            raise
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return [(USED, memory.used / _MIB), (FREE, memory.free / _MIB), (TOTAL, memory.total / _MIB)]


def _power(nvml: Any, handle: Any) -> list[_Figure]:
    return [(POWER, nvml.nvmlDeviceGetPowerUsage(handle) / 1000)]


def _energy(nvml: Any, handle: Any) -> list[_Figure]:
    return [(ENERGY, nvml.nvmlDeviceGetTotalEnergyConsumption(handle))]


def _driver_gone(nvml: Any) -> tuple[int, ...]:
    return (
        nvml.NVML_ERROR_UNINITIALIZED,
        nvml.NVML_ERROR_DRIVER_NOT_LOADED,
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    )


def _text(word: str | bytes) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else word
