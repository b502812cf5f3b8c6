"""NVIDIA's driver (NVML), as far as energy is read and clocks are locked.

A driver that was restarted is opened anew at the next call, and every error becomes a GpuError with
words for the operator.
"""

import importlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class GpuError(Exception):
    """The driver refused, or cannot be reached."""


def _binding() -> Any:
    return importlib.import_module("pynvml")


class Driver:
    """Calls the driver for single GPUs, which are named by index or UUID. For one thread."""

    def __init__(self, load: Callable[[], Any] = _binding) -> None:
        self._load = load
        self._nvml: Any = None

    def lock(self, gpu: str, mhz: int) -> None:
        """Lock the clock of its multiprocessors. Raises GpuError."""
        self._call(gpu, lambda nvml, handle: nvml.nvmlDeviceSetGpuLockedClocks(handle, mhz, mhz))

    def reset(self, gpu: str) -> None:
        """Give the clock back to the driver. Raises GpuError."""
        self._call(gpu, lambda nvml, handle: nvml.nvmlDeviceResetGpuLockedClocks(handle))

    def millijoules(self, gpu: str) -> int:
        """Returns the energy that it has used since its driver was loaded. Raises GpuError."""
        return int(self._call(gpu, lambda nvml, it: nvml.nvmlDeviceGetTotalEnergyConsumption(it)))

    def uuid(self, gpu: str) -> str:
        """Returns its UUID, however it was named. Raises GpuError."""
        uuid = self._call(gpu, lambda nvml, handle: nvml.nvmlDeviceGetUUID(handle))
        return uuid.decode() if isinstance(uuid, bytes) else str(uuid)

    def uuids(self, gpus: Iterable[str]) -> frozenset[str]:
        """Returns the UUIDs of GPUs; a name that the driver does not know as it is."""
        return frozenset(map(self._uuid_or_name, gpus))

    def _uuid_or_name(self, gpu: str) -> str:
        try:
            return self.uuid(gpu)
        except GpuError:
            return gpu

    def clocks(self, gpu: str) -> list[int]:
        """Returns the clocks that it supports at its highest memory clock. Raises GpuError."""

        def query(nvml: Any, handle: Any) -> list[int]:
            memory = max(nvml.nvmlDeviceGetSupportedMemoryClocks(handle))
            return sorted(map(int, nvml.nvmlDeviceGetSupportedGraphicsClocks(handle, memory)))

        return self._call(gpu, query)

    def close(self) -> None:
        """Let the driver go, so that it can be unloaded."""
        nvml, self._nvml = self._nvml, None
        if nvml:
            with suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _call(self, gpu: str, query: Callable[[Any, Any], T]) -> T:
        nvml = self._opened()
        try:
            return query(nvml, _handle(nvml, gpu))
        except nvml.NVMLError as error:
            if error.value in _gone(nvml):  # it is opened anew at the next call
                self.close()
            raise GpuError(f"GPU {gpu}: {_reason(nvml, error)}") from None

    def _opened(self) -> Any:
        if self._nvml is None:
            nvml = self._load()
            try:
                nvml.nvmlInit()
            except nvml.NVMLError as error:
                raise GpuError(_reason(nvml, error)) from None
            self._nvml = nvml
        return self._nvml


def _handle(nvml: Any, gpu: str) -> Any:
    if gpu.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(gpu))
    return nvml.nvmlDeviceGetHandleByUUID(gpu)


def _gone(nvml: Any) -> tuple[int, ...]:
    return (
        nvml.NVML_ERROR_UNINITIALIZED,
        nvml.NVML_ERROR_DRIVER_NOT_LOADED,
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        nvml.NVML_ERROR_GPU_IS_LOST,  # a new handle finds it again after a reset
    )


def _reason(nvml: Any, error: Any) -> str:
    words = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "this host has no NVIDIA driver (libnvidia-ml.so.1)",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "the driver is not loaded",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was updated: restart the host",
        nvml.NVML_ERROR_NO_PERMISSION: "only root may lock clocks",
        nvml.NVML_ERROR_NOT_SUPPORTED: "it cannot lock clocks (an older GPU, a part of one)",
        nvml.NVML_ERROR_GPU_IS_LOST: "it has fallen off the bus",
        nvml.NVML_ERROR_NOT_FOUND: "there is no such GPU",
        nvml.NVML_ERROR_INVALID_ARGUMENT: "there is no such GPU or clock",
    }
    return words.get(error.value, str(error))
