"""A driver that is staged, under the name of NVIDIA's binding: its state is a file.

So it outlives a killed process, as a real GPU's clocks do. The file is named by
FOREBAY_TEST_NVML_STATE; its `broken` says which call raises which error.
"""

import fcntl
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OWN = Path(__file__).resolve().parent
_REAL = next(
    file
    for folder in sys.path
    if folder and Path(folder).resolve() != _OWN and (file := Path(folder) / "pynvml.py").exists()
)
_spec = importlib.util.spec_from_file_location("real_pynvml", _REAL)
assert _spec
assert _spec.loader
_real = importlib.util.module_from_spec(_spec)
sys.modules["real_pynvml"] = _real  # it looks itself up
_spec.loader.exec_module(_real)
globals().update({name: value for name, value in vars(_real).items() if name.startswith("NVML_")})
NVMLError = _real.NVMLError


@contextmanager
def _state(call: str, gpu: Any = None) -> Iterator[dict[str, Any]]:
    with Path(os.environ["FOREBAY_TEST_NVML_STATE"]).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        if seconds := state.get("hangs", {}).get(call):
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(seconds)
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            state = json.load(file)
        if code := state["broken"].get(f"{call} {gpu}") or state["broken"].get(call):
            raise NVMLError(code)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def nvmlInit() -> None:
    with _state("init"):
        pass


def nvmlShutdown() -> None:
    pass


def nvmlDeviceGetHandleByIndex(index: int) -> str:
    with _state("handle", index) as state:
        if str(index) not in state["clocks"]:
            raise NVMLError(_real.NVML_ERROR_INVALID_ARGUMENT)
        return str(index)


def nvmlDeviceGetHandleByUUID(uuid: str) -> str:
    with _state("handle", uuid) as state:
        names: dict[str, str] = {known: index for index, known in state.get("uuids", {}).items()}
        if names.get(uuid, uuid) not in state["clocks"]:
            raise NVMLError(_real.NVML_ERROR_NOT_FOUND)
        return names.get(uuid, uuid)


def nvmlDeviceGetUUID(gpu: str) -> str:
    with _state("uuid", gpu) as state:
        return str(state.get("uuids", {}).get(gpu, gpu))


def nvmlDeviceSetGpuLockedClocks(gpu: str, lowest: int, highest: int) -> None:
    with _state("lock", gpu) as state:
        assert lowest == highest
        state["clocks"][gpu] = lowest
        state["locks"] = state.get("locks", 0) + 1


def nvmlDeviceResetGpuLockedClocks(gpu: str) -> None:
    with _state("reset", gpu) as state:
        state["clocks"][gpu] = None


def nvmlDeviceGetTotalEnergyConsumption(gpu: str) -> int:
    with _state("energy", gpu) as state:
        if watts := state.get("watts"):
            return int(time.monotonic() * 1000 * watts)
        return int(state.get("millijoules", {}).get(gpu, 0))


def nvmlDeviceGetSupportedMemoryClocks(gpu: str) -> list[int]:
    with _state("clocks", gpu):
        return [2619, 1593]


def nvmlDeviceGetSupportedGraphicsClocks(gpu: str, memory: int) -> list[int]:
    with _state("clocks", gpu):
        return [1980, 1500, 1200, 1005, 810, 510]
