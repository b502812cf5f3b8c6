"""Runs the trainer as Forebay does: a process, an order in a file, events in another."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from config.environment import PROJECT
from trainer.events import Events
from trainer.job import Job
from trainer.kinds import KINDS
from trainer.order import Order


@dataclass(frozen=True)
class Run:
    code: int
    events: list[dict[str, Any]]
    stderr: str
    output: Path

    @property
    def result(self) -> dict[str, Any]:
        assert self.code == 0, (self.events[-1:], self.stderr)
        return self.events[-1]

    @property
    def error(self) -> str:
        return str(self.events[-1]["code"])


def order(folder: Path, kind: str, **fields: object) -> Path:
    """Writes an order whose folders are in this one."""
    path = folder / "order.json"
    folders = {"output": str(folder / "output"), "checkpoints": str(folder / "checkpoints")}
    fields = {"kind": kind, "base": None, "data": {}, "parameters": {}, **folders} | fields
    path.write_text(json.dumps(fields))
    return path


def run(
    folder: Path,
    kind: str,
    *,
    python: str = sys.executable,
    timeout_s: float = 1800,
    **fields: object,
) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.run(
        [python, "-m", "trainer", str(order(folder, kind, **fields))],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Run(process.returncode, events(folder), process.stderr, folder / "output")


def work(folder: Path, kind: str, **fields: object) -> Run:
    """Does the same in this process, which takes a tenth of the time. Refusals are raised."""
    folder.mkdir(parents=True, exist_ok=True)
    checked = Order.read(order(folder, kind, **fields))
    with Events(checked.output) as events_:
        result = import_module(KINDS[kind].module).run(Job(checked, events_))
        events_.result(**result)
    return Run(0, events(folder), "", folder / "output")


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "output" / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
