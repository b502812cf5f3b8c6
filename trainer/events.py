"""The events of one order: a JSON object a line in `output/events.jsonl`, appended and flushed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "events.jsonl"


class Events:
    """Writes events that a reader may follow while they are written."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.path = folder / name
        _drop_half_line(self.path)
        self._file = self.path.open("a", encoding="utf-8")

    def write(self, type: str, **fields: object) -> None:
        self._file.write(json.dumps({"type": type, **fields}, ensure_ascii=False) + "\n")
        self._file.flush()

    def metric(
        self,
        *,
        step: int,
        epoch: float,
        train_loss: float | None,
        held_out_loss: float | None = None,
        tokens: int,
        **more: float,
    ) -> None:
        losses = {"train_loss": train_loss, "held_out_loss": held_out_loss}
        self.write("metric", step=step, epoch=epoch, **losses, tokens=tokens, **more)

    def progress(self, done: int, of: int, unit: str) -> None:
        self.write("progress", done=done, of=of, unit=unit)

    def checkpoint(self, step: int, folder: Path) -> None:
        self.write("checkpoint", step=step, folder=str(folder))

    def info(self, code: str, message: str) -> None:
        self.write("message", level="info", code=code, message=message)

    def warning(self, code: str, message: str) -> None:
        self.write("message", level="warning", code=code, message=message)

    def error(self, code: str, message: str, fits: object = None) -> None:
        more = {} if fits is None else {"fits": fits}
        self.write("error", code=code, message=message, **more)

    def result(self, **fields: object) -> None:
        self.write("result", **fields)

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drops the other events, such as metrics of steps beyond the last checkpoint."""
        self._file.close()
        with self.path.open(encoding="utf-8") as file:
            lines = [line for line in file if wanted(json.loads(line))]
        part = self.path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


class Silent(Events):
    """Writes none: of several processes that share an order, the first one reports."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull).parent, os.path.basename(os.devnull))

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Has none to drop."""


def events_of(folder: Path) -> Events:
    """Returns the events of this process, by the number that torchrun gave it."""
    return Silent() if int(os.environ.get("RANK", "0")) else Events(folder)


def _drop_half_line(path: Path) -> None:
    """Cuts off the line that a killed process was writing."""
    if not path.exists() or not (size := path.stat().st_size):
        return
    with path.open("r+b") as file:
        start = max(0, size - (1 << 20))
        file.seek(start)
        tail = file.read()
        file.truncate(start + tail.rfind(b"\n") + 1)
