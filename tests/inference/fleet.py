"""A pool of several engines, whose load a test plays in Redis."""

from typing import Any
from uuid import uuid4

from inference.energy.resting import balance
from inference.models import Engine
from inference.pool_policy import JOBS, jobs_queue
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.registry.importing import import_file

NOW = 1_000_000.0


class Fleet:
    """A pool of the file. `waiting` jobs wait for a GPU, `on` has the engines on which one runs."""

    waiting = 0
    on: tuple[int, ...] = ()

    def __init__(self, engines: int = 3, **options: Any) -> None:
        self.pool, self.now = f"fleet-{uuid4().hex[:8]}", NOW
        servers = [{"url": f"http://127.0.0.1:{18000 + n}/v1"} for n in range(1, engines + 1)]
        common = {"kind": "vllm", "slots": 4, "engines": servers, **options}
        self.file: dict[str, Any] = {"chat": {"pools": {self.pool: common}}}
        import_file(self.file)

    def declare(self, number: int, url: str) -> None:
        """Give one of the engines another address."""
        self.file["chat"]["pools"][self.pool]["engines"][number - 1]["url"] = url
        import_file(self.file)

    def see(self, seconds: int, running: int) -> None:
        leases = f"{prefix(self.pool)}:leases"
        for _ in range(seconds // 2):
            client().delete(leases)
            if running:
                client().zadd(leases, {str(n): n for n in range(running)})
            self._play_jobs()
            self.now += 2
            balance(self.now)
        client().delete(leases)

    def _play_jobs(self) -> None:
        """Have Redis show the jobs of the pool, as their runners leave it there."""
        queue = prefix(jobs_queue(self.pool))
        client().delete(f"{queue}:orders", f"{queue}:leases", f"{queue}:on")
        running: Any = {str(n): f"{self.pool}.{n}{JOBS}-aaaa" for n in self.on}
        if running:
            client().hset(f"{queue}:on", mapping=running)
            client().zadd(f"{queue}:leases", dict.fromkeys(running, 1))
        if count := self.waiting + len(running):
            client().hset(f"{queue}:orders", mapping={f"job-{n}": "" for n in range(count)})

    @property
    def awake(self) -> list[str]:
        rows = Engine.objects.filter(pool__name=self.pool, draining=False, staged=False)
        return [name.removeprefix(f"{self.pool}.") for name in rows.values_list("name", flat=True)]

    @property
    def last(self) -> Engine:
        # A fleet is never empty.
        return Engine.objects.filter(pool__name=self.pool).last()  # type: ignore[return-value]

    @property
    def stopped(self) -> list[str]:
        return self._names(stopped=True)

    @property
    def lent(self) -> list[str]:
        return self._names(lent_since__isnull=False)

    def engine(self, number: int) -> Engine:
        row: Engine = Engine.objects.get(name=f"{self.pool}.{number}")
        return row

    def _names(self, **which: Any) -> list[str]:
        rows = Engine.objects.filter(pool__name=self.pool, **which)
        return [name.removeprefix(f"{self.pool}.") for name in rows.values_list("name", flat=True)]
