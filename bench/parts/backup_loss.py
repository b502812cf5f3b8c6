"""A machine that is lost under load: how much of what was acknowledged its backup lacks."""

import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.servers.child import temporary_folder
from bench.servers.forebay import Forebay
from bench.servers.processes import tree
from bench.servers.targets import MODEL
from config.backup import configured
from config.backup.recovery import choose, recovered

_CLIENTS = 8
_ANSWERS = "select count(*) from inference_usage where status = 200"


@dataclass(slots=True)
class Loss:
    acknowledged: int
    lost: int  # acknowledged answers that the restored database does not have
    lost_s: float  # between the last that it has and the last one
    restore_s: float


@dataclass(slots=True)
class _Clients:
    """They ask for one answer after the other until the platform is gone."""

    forebay: Forebay
    moments: list[float] = field(default_factory=list)  # of each acknowledged answer
    gone: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask) for _ in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.gone.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        target = self.forebay.target()
        body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
        headers = {"Authorization": f"Bearer {target.key}", "Content-Type": "application/json"}
        url = f"{target.url}/chat/completions"
        while not self.gone.is_set():
            request = urllib.request.Request(url, json.dumps(body).encode(), headers)
            with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
                self.moments.append(time.monotonic())


def lose_under_load(forebay: Forebay, place: Path, seconds: float) -> Loss:
    """Kill every process at once, and restore from the place alone."""
    ((before,),) = forebay.rows(_ANSWERS)
    clients = _Clients(forebay)
    with clients.asking():
        time.sleep(seconds)
        for process in tree(forebay.child.pid):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    moments = sorted(clients.moments)
    began = time.monotonic()
    present = _restored_answers(forebay.home, place) - before
    restore_s = time.monotonic() - began
    lost = max(0, len(moments) - present)
    lost_s = moments[-1] - moments[-1 - lost] if 0 < lost < len(moments) else 0.0
    return Loss(len(moments), lost, lost_s, restore_s)


def _restored_answers(lost_home: Path, place: Path) -> int:
    with temporary_folder() as folder:
        folder.chmod(0o755)  # PostgreSQL may run as another user
        shutil.copytree(lost_home / "secrets", folder / "secrets")  # as a kit has them
        kind = configured.kind(folder, str(place))
        with (
            recovered(kind, choose(kind), folder / "postgres") as (url, _),
            psycopg.connect(url, dbname="forebay") as connection,
        ):
            ((answers,),) = connection.execute(_ANSWERS).fetchall()
            return int(answers)
