"""Starts trainers that have PyTorch imported already."""

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

from config.environment import PROJECT
from tests.trainer.process import Run, events, order

LIMIT_S = 600


@dataclass
class Process:
    """One trainer that runs."""

    pid: int
    folder: Path
    ends: Queue[int]

    def end(self) -> Run:
        code = self.ends.get(timeout=LIMIT_S)
        stderr = (self.folder / "stderr").read_text()
        return Run(code, events(self.folder), stderr, self.folder / "output")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def limit_memory(self, more: int) -> None:
        """Lets it take so many bytes more than it has now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + more
        resource.prlimit(self.pid, resource.RLIMIT_AS, (size, size))

    def limit_files(self, size: int) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, size))

    def until(self, wanted: str, count: int = 1) -> None:
        """Waits until it has reported so many events of this type, or has ended."""
        ended = False
        while not ended and sum(e["type"] == wanted for e in events(self.folder)) < count:
            try:
                self.ends.put(self.ends.get(timeout=0.02))
                ended = True
            except Empty:
                continue


@dataclass
class WarmTrainer:
    _server: subprocess.Popen[str]
    _ends: dict[int, Queue[int]] = field(default_factory=dict)
    _starts: Queue[int] = field(default_factory=Queue)

    def start(self, folder: Path, kind: str, **fields: object) -> Process:
        folder.mkdir(parents=True, exist_ok=True)
        path = order(folder, kind, **fields)
        assert self._server.stdin
        self._server.stdin.write(
            json.dumps({"order": str(path), "stderr": str(folder / "stderr")}) + "\n"
        )
        self._server.stdin.flush()
        pid = self._starts.get(timeout=LIMIT_S)
        return Process(pid, folder, self._ends[pid])

    def run(self, folder: Path, kind: str, **fields: object) -> Run:
        return self.start(folder, kind, **fields).end()

    def read(self) -> None:
        assert self._server.stdout
        for line in self._server.stdout:
            fields: dict[str, Any] = json.loads(line)
            ends = self._ends.setdefault(fields["pid"], Queue())
            if "code" in fields:
                ends.put(fields["code"])
            else:
                self._starts.put(fields["pid"])


@contextmanager
def warm_trainer(python: str) -> Iterator[WarmTrainer]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [python, "-m", "tests.trainer.warm"], cwd=PROJECT, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    trainer = WarmTrainer(server)
    reader = Thread(target=trainer.read)
    reader.start()
    try:
        yield trainer
    finally:
        assert server.stdin
        assert server.stdout
        server.stdin.close()
        server.wait(timeout=60)
        reader.join(timeout=60)
        server.stdout.close()
