"""A small program that speaks the trainer's protocol, and stages its failures.

It needs nothing but Python. The order's parameters say what happens: `steps` of `step_s` seconds, a
checkpoint each `save_every`, and at the step `at` one of `ends` (an exit code), `dies` (by SIGKILL,
`times` times), `waits` (for a file) or `full` (its disk). Each step it begins is a line of the file
`diary`, and the variable that it `shows`; the file `oom` says how soon the kernel ends it. With
`teacher` it does so many steps before, and their checkpoints are in a folder.
"""

import contextlib
import json
import os
import shlex
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any


class Trainer:
    def __init__(self, order: dict[str, Any]) -> None:
        self.wishes = {"steps": 6, "step_s": 0.05, "save_every": 2, **order["parameters"]}
        self.output, self.checkpoints = Path(order["output"]), Path(order["checkpoints"])
        self.order, self.stopping, self.before = order, False, 0
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_signal: object) -> None:
        self.stopping = not self.wishes.get("deaf")

    def event(self, type: str, **fields: Any) -> None:
        with (self.output / "events.jsonl").open("a") as file:
            file.write(json.dumps({"type": type, **fields}) + "\n")

    def note(self, line: str) -> None:
        if diary := self.wishes.get("diary"):
            with Path(diary).open("a") as file:
                file.write(f"{line}\n")

    def run(self) -> int:
        student = self.checkpoints
        if steps := self.wishes.get("teacher"):
            self.checkpoints = student / "teacher"
            self.checkpoints.mkdir(exist_ok=True)
            if code := self._steps(steps):
                return code
            self.checkpoints, self.before = student, steps
        if code := self._steps(self.wishes["steps"]):
            return code
        self._result()
        return 0

    def _steps(self, steps: int) -> int:
        done = self._newest()
        if oom := self.wishes.get("oom"):
            Path(oom).write_text(Path("/proc/self/oom_score_adj").read_text())
        self.note(f"has {self.before + done}")
        if name := self.wishes.get("shows"):
            self.note(f"{name}={os.environ.get(name)}")
        while done < steps:
            done += 1
            self.note(f"begins {self.before + done}")
            time.sleep(self.wishes["step_s"])
            self._point(self.before + done)
            if code := self._staged(self.before + done):
                return code
            if self.stopping or done % self.wishes["save_every"] == 0:
                self._save(done)
            if self.stopping:
                return 75
        return 0

    def _newest(self) -> int:
        names = [path.name for path in self.checkpoints.glob("step-*") if path.is_dir()]
        steps = [int(name[5:]) for name in names if not name.endswith(".part")]
        if steps:
            state = json.loads((self.checkpoints / f"step-{max(steps):06d}/state.json").read_text())
            assert state["step"] == max(steps)
        return max(steps, default=0)

    def _point(self, done: int) -> None:
        of = self.wishes.get("teacher", 0) + self.wishes["steps"]
        loss = {"train_loss": 5 / done, "held_out_loss": 6 / done if done % 2 == 0 else None}
        loss["learning_rate"] = 4e-4 * (1 - done / of)
        self.event("metric", step=done, epoch=done / of, tokens=100 * done, **loss)
        self.event("progress", done=done, of=of, unit="steps")

    def _staged(self, done: int) -> int:
        if done != self.wishes.get("at"):
            return 0
        if code := self.wishes.get("ends"):
            self.event("error", code="staged", message="it was told to end", fits="1 GB")
            return int(code)
        while (sign := self.wishes.get("waits")) and not Path(sign).exists() and not self.stopping:
            time.sleep(0.02)
        if mark := self.wishes.get("dies"):
            lives = Path(mark)
            count = len(lives.read_text()) if lives.exists() else 0
            if count < self.wishes.get("times", 1):
                lives.write_text("x" * (count + 1))
                os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def _save(self, done: int) -> None:
        draft = self.checkpoints / f"step-{done:06d}.part"
        draft.mkdir(exist_ok=True)
        (draft / "state.json").write_text(json.dumps({"step": done}))
        (draft / "weights.safetensors").write_bytes(tensors(done))
        if self.wishes.get("method") == "full":
            write_model(draft / "model", done)
        else:
            write_adapter(draft / "adapter", done)
        with contextlib.suppress(FileExistsError, OSError):
            draft.rename(self.checkpoints / f"step-{done:06d}")
        folder = self.checkpoints / f"step-{done:06d}"
        self.event("checkpoint", step=self.before + done, folder=str(folder))

    def _result(self) -> None:
        kind, output = self.order["kind"], self.output
        if kind in ("fine-tune", "pretrain"):
            write_adapter(output / "adapter", 1)
        elif kind in ("distil", "quantise", "convert"):
            write_model(output / "model", 2)
        elif kind == "prepare":
            (output / "train.jsonl").write_text('{"text": "clean"}\n')
        elif kind == "score" and self.wishes.get("calibrate"):
            (output / "calibrator").mkdir()
            (output / "calibrator/calibrator.json").write_text('{"method": "platt"}')
        report = {"steps": self.wishes["steps"], "samples": ["a secret"]}
        (output / "report.json").write_text(json.dumps(report))
        self.event("result", folder=str(output))


def write_adapter(folder: Path, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"r": 8, "peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(tensors(seed))


def write_model(folder: Path, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(tensors(seed))
    (folder / "config.json").write_text('{"model_type": "llama"}')


def tensors(seed: int) -> bytes:
    """A file of safetensors with one small tensor."""
    data = struct.pack("<4f", *(seed + n for n in range(4)))
    header = {"a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, len(data)]}}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + data


def write_program(folder: Path) -> Path:
    """Returns a program in the place of the trainer's Python, which runs this file."""
    program = folder / "python"
    run = shlex.join([sys.executable, "-S", __file__])
    program.write_text(f'#!/bin/sh\nexec {run} "$3"\n')
    program.chmod(0o755)
    return program


if __name__ == "__main__":
    sys.exit(Trainer(json.loads(Path(sys.argv[1]).read_text())).run())
