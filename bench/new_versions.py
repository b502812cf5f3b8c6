"""python -m bench.new_versions [--rounds N]: what the platform adds to the load of a new version.

The bundled model is replaced by the same from another file, whose server Forebay starts, and by a
new entry of the server that runs already, while one client asks all the time. From the order until
the new version serves, less what is the engine's own: from the start of its process until it says
that it is ready, and the answers that warm it up.
"""

import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg

from bench.apart import run
from bench.cells import cell, table
from bench.figures import median
from bench.processes import TICKS_PER_SECOND, all_processes
from bench.under_test import Forebay
from config.supervisor.engines.embedded_engine import bundled_model
from inference.engines.bundled_model import FILE

MODEL = "smollm2-135m"
STARTED, RUNNING = "another file, a server started for it", "the server that runs already"
PATIENCE_S = 120
BEGIN = """
import config.celery
from inference.models import Engine, Replacement
from inference.registry.versions import proposed
engine = Engine.objects.get(name="{model}")
given = {given}
print(Replacement.begin(engine, *proposed(engine, given), by="bench", keeps_old=True).pk)
"""
_GIVEN = {
    STARTED: f"{{'options': {{'launch': {{'model': '{FILE}'}}}}}}",
    RUNNING: "{'url': engine.url}",
}
ROLL_BACK = """
import config.celery
from inference.models import Replacement
Replacement.objects.get(pk="{pk}").roll_back(by="bench")
"""
_ROW = """
    select r.step, extract(epoch from r.created_at)::float8,
           extract(epoch from r.switched_at)::float8, r.reason, e.name, e.url, r.warm_up_ms
    from inference_replacement r left join inference_engine e on e.id = r.new_id
    where r.id::text = %s or (%s = '' and r.step in ('loading', 'warming'))"""


@dataclass(slots=True)
class Load:
    """Milliseconds. `platform`: the whole less the engine's own, its load and its warm-up."""

    how: str
    whole: float
    load: float
    warm_up: float
    platform: float
    first_answer: float  # after the switch, of the new version
    longest_pause: float  # between two answers of the client, around the switch
    bad: int


@dataclass(slots=True)
class LoadsReport:
    loads: list[Load]

    def of(self, how: str) -> list[Load]:
        return [load for load in self.loads if load.how == how]


@dataclass(slots=True)
class Client:
    """One that asks for a short answer again and again: when each came, and from whom."""

    answers: list[tuple[float, str]] = field(default_factory=list)
    bad: int = 0


def measured(rounds: int, _seconds: float) -> LoadsReport:
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        forebay = Forebay(Path(folder))
        try:
            models = forebay.home / "models"
            models.mkdir(exist_ok=True)
            shutil.copyfile(bundled_model(), models / FILE)
            return LoadsReport(list(_loads(forebay, rounds)))
        finally:
            forebay.stop()


def _loads(forebay: Forebay, rounds: int) -> Iterator[Load]:
    for _ in range(rounds):
        for how, given in _GIVEN.items():
            yield _load(forebay, how, given)


def _load(forebay: Forebay, how: str, given: str) -> Load:
    watch = Watch(forebay)
    with _asking(forebay) as client:
        time.sleep(1.0)
        watching = Thread(target=watch.until_ready, daemon=True)
        watching.start()
        code = BEGIN.format(model=MODEL, given=given)
        pk = forebay.manage("shell", "-c", code).strip().splitlines()[-1]
        row = watch.at(pk, "kept")
        watching.join()
        time.sleep(1.0)
    began, switched, warm_up = float(row[1]), float(row[2]), float(row[6])
    load = 1000 * (watch.ready_at - watch.started_at) if how == STARTED else 0.0
    forebay.manage("shell", "-c", ROLL_BACK.format(pk=pk))
    watch.at(pk, "rolled_back")
    whole = 1000 * (switched - began)
    first = min(at for at, by in client.answers if at > switched and "/v" in by)
    around = [at for at, _ in client.answers if switched - 1 < at < switched + 3]
    pauses = [1000 * (b - a) for a, b in pairwise(around)]
    platform = whole - load - warm_up
    first_answer = 1000 * (first - switched)
    return Load(
        how, whole, load, warm_up, platform, first_answer, max(pauses, default=0.0), client.bad
    )


class Watch:
    """What happens to the new version, seen from outside."""

    def __init__(self, forebay: Forebay) -> None:
        told = forebay.running()
        self._dsn = told["DATABASE_URL"]
        self.started_at = self.ready_at = 0.0

    def until_ready(self) -> None:
        """When the process of its server began, and when that said that it is ready."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while not (row := connection.execute(_ROW, ["", ""]).fetchone()):
                time.sleep(0.002)
        port = str(row[5]).rpartition(":")[2].partition("/")[0]
        while not _is_ready(port):
            time.sleep(0.005)
        self.ready_at = time.time()
        self.started_at = _start_of(port)

    def at(self, pk: str, step: str) -> Any:
        """Its row, once it has come so far."""
        until = time.monotonic() + PATIENCE_S
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            while time.monotonic() < until:
                row = connection.execute(_ROW, [pk, pk]).fetchone()
                if row and row[0] == step:
                    return row
                if row and row[0] == "failed":
                    raise RuntimeError(row[3])
                time.sleep(0.05)
        raise TimeoutError(step)


def _is_ready(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _pid_at(port: str) -> int:
    """Of the server that was told to listen there."""
    found = all_processes().values()
    return next(p.pid for p in found if f"--port {port}" in p.command)


def _start_of(port: str) -> float:
    """Seconds since the epoch."""
    stat = Path(f"/proc/{_pid_at(port)}/stat").read_text()
    ticks = int(stat.rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / TICKS_PER_SECOND


def _post(url: str, body: Any, headers: dict[str, str]) -> tuple[int, str]:
    """The status, and who served."""
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        return answer.status, answer.headers.get("x-forebay-upstream", "")


@contextmanager
def _asking(forebay: Forebay) -> Iterator[Client]:
    client, over = Client(), Event()
    headers = {"Authorization": f"Bearer {forebay.key}", "Content-Type": "application/json"}
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}

    def ask() -> None:
        while not over.is_set():
            try:
                url = f"http://127.0.0.1:{forebay.port}/v1/chat/completions"
                _, by = _post(url, body, headers)
            except OSError:
                client.bad += 1
            else:
                client.answers.append((time.time(), by))

    thread = Thread(target=ask, daemon=True)
    thread.start()
    yield client
    over.set()
    thread.join()


def section(report: LoadsReport) -> str:
    head = (
        "new version",
        "until it serves ms",
        "its server's load ms",
        "warm-up ms",
        "the platform's part ms",
        "worst",
        "switch to its first answer ms",
        "longest pause of a client ms",
        "bad",
    )
    found = [(how, report.of(how)) for how in (STARTED, RUNNING)]
    return table(head, (_line(how, loads) for how, loads in found if loads))


def _line(how: str, loads: list[Load]) -> tuple[str, ...]:
    platform = [load.platform for load in loads]
    return (
        f"{how} ({len(loads)} rounds)",
        cell(median(load.whole for load in loads)),
        cell(median(load.load for load in loads)),
        cell(median(load.warm_up for load in loads)),
        cell(median(platform)),
        cell(max(platform)),
        cell(median(load.first_answer for load in loads)),
        cell(max(load.longest_pause for load in loads)),
        str(sum(load.bad for load in loads)),
    )


if __name__ == "__main__":
    run("bench.new_versions", measured, section, rounds=5, seconds=0.0)
