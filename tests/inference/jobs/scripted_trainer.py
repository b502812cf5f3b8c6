"""A small program that speaks the trainer's protocol, and stages its failures.

It needs nothing but Python. The order's parameters say what happens: `steps` of `step_s` seconds, a
checkpoint each `save_every`, and at the step `at` one of `ends` (an exit code), `dies` (by SIGKILL,
`times` times) or `full` (its disk). Each step it begins is a line of the file `diary`, and the
variable that it `shows`; the file `oom` says how soon the kernel ends it.
"""

import contextlib
import json
import os
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
        self.order, self.stopping, self.tokens = order, False, 0
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
        done = self._newest()
        if oom := self.wishes.get("oom"):
            Path(oom).write_text(Path("/proc/self/oom_score_adj").read_text())
        self.note(f"has {done}")
        if name := self.wishes.get("shows"):
            self.note(f"{name}={os.environ.get(name)}")
        while done < self.wishes["steps"]:
            done += 1
            self.note(f"begins {done}")
            time.sleep(self.wishes["step_s"])
            self._point(done)
            if code := self._staged(done):
                return code
            if self.stopping or done % self.wishes["save_every"] == 0:
                self._save(done)
            if self.stopping:
                return 75
        self._result()
        return 0

    def _newest(self) -> int:
        names = [path.name for path in self.checkpoints.glob("step-*") if path.is_dir()]
        steps = [int(name[5:]) for name in names if not name.endswith(".part")]
        if steps:
            state = json.loads((self.checkpoints / f"step-{max(steps):06d}/state.json").read_text())
            assert state["step"] == max(steps)
        return max(steps, default=0)

    def _point(self, done: int) -> None:
        of = self.wishes["steps"]
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
        self.event("checkpoint", step=done, folder=str(self.checkpoints / f"step-{done:06d}"))

    def _result(self) -> None:
        kind, output = self.order["kind"], self.output
        if kind in ("fine-tune", "pretrain"):
            write_adapter(output / "adapter", 1)
        elif kind in ("distil", "quantise", "convert"):
            write_model(output / "model", 2)
        elif kind == "prepare":
            (output / "train.jsonl").write_text('{"text": "clean"}\n')
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


if __name__ == "__main__":
    sys.exit(Trainer(json.loads(Path(sys.argv[1]).read_text())).run())
