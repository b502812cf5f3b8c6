"""Orders that several tests of training give, and what their events say."""

from pathlib import Path
from typing import Any

from tests.trainer.process import Run

QUICK = {"length": 16, "batch": 8, "warm_up": 4, "learning_rate": 2e-2, "precision": "fp32"}


def fields(base: Path, data: Path, **parameters: object) -> dict[str, Any]:
    return {
        "base": str(base), "data": {"train": str(data)}, "parameters": {**QUICK, **parameters},
    }  # fmt: skip


def metrics(run: Run) -> list[dict[str, Any]]:
    return [event for event in run.events if event["type"] == "metric"]


def train_losses(run: Run) -> list[float]:
    return [each["train_loss"] for each in metrics(run) if each["train_loss"] is not None]


def held_out_losses(run: Run) -> list[float]:
    return [each["held_out_loss"] for each in metrics(run) if each["held_out_loss"] is not None]


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").glob("step-*"))


def weights(run: Run, kind: str = "adapter") -> bytes:
    name = "adapter_model.safetensors" if kind == "adapter" else "model.safetensors"
    return (run.output / kind / name).read_bytes()
