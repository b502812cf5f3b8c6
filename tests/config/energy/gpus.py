"""GPUs that are staged in a file, and an agent's bounds for them."""

import fcntl
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGED = Path(__file__).parent / "staged"


class StagedGpus:
    def __init__(self, folder: Path, gpus: tuple[str, ...] = ("0", "1")) -> None:
        self.file = folder / "nvml.json"
        self.bounds = folder / "energy.toml"
        self.write({"clocks": dict.fromkeys(gpus), "broken": {}})
        self.allow()

    def allow(self, *, dry_run: bool = False, user: int | None = None, more: str = "") -> None:
        user = os.geteuid() if user is None else user
        gpus = "".join(
            f'[gpus."{gpu}"]\nlowest_mhz = 600\nhighest_mhz = 1980\n' for gpu in self.clocks
        )
        self.bounds.write_text(f"users = [{user}]\ndry_run = {str(dry_run).lower()}\n{more}{gpus}")
        self.bounds.chmod(0o644)

    @property
    def state(self) -> dict[str, Any]:
        with self.file.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as those that change it
            return dict(json.load(file))

    def write(self, state: dict[str, Any]) -> None:
        with self.file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            json.dump(state, file)

    def change(self, **values: Any) -> None:
        self.write({**self.state, **values})

    @property
    def clocks(self) -> dict[str, int | None]:
        return dict(self.state["clocks"])

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables with which a process of its own meets these GPUs."""
        own = {"FOREBAY_TEST_NVML_STATE": str(self.file), "PYTHONPATH": str(STAGED)}
        return {**os.environ, **own}

    def load(self) -> Callable[[], Any]:
        """Returns what gives `Driver` the staged binding in this process."""
        os.environ["FOREBAY_TEST_NVML_STATE"] = str(self.file)
        spec = importlib.util.spec_from_file_location("staged_pynvml", STAGED / "pynvml.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["staged_pynvml"] = module
        spec.loader.exec_module(module)
        return lambda: module
