"""python -m bench.parts.pops [--seconds S]: what a pop takes where 1,000 tenants wait.

The queue's own script on a Valkey of the bench's own, which serves nobody else.
"""

from dataclasses import dataclass
from time import perf_counter
from uuid import uuid4

from bench.figures.statistics import percentile
from bench.figures.tables import cell, table
from bench.parts import apart
from bench.servers.without_platform import valkey_alone

TENANTS, EACH, AT_ONCE = 1_000, 3, 100
ESTIMATE = 100  # tokens of a request


@dataclass(slots=True)
class PopReport:
    """In ms; `server_ms`: the mean of Valkey's own time."""

    number: int
    p50_ms: float | None
    p99_ms: float | None
    server_ms: float


def measured(rounds: int, seconds: float) -> PopReport:
    with valkey_alone() as url:
        import uvloop

        return uvloop.run(_measured(url, rounds * seconds))


class Queue:
    """In which 1,000 tenants wait, again and again."""

    def __init__(self, url: str) -> None:
        from inference.queue.fair_queue import FairQueue
        from infrastructure.redis.link import RedisLink

        self.link = RedisLink(url)
        self._queue = FairQueue(self.link, "bench")

    async def join(self, tenant: str) -> None:
        from inference.order import Item

        item = Item(1, ESTIMATE, 1, "realtime", tenant, str(uuid4()))
        await self._queue.enqueue(item, b"x" * 1024)

    async def pops(self, number: int) -> list[float]:
        """Milliseconds of each."""
        from inference.order import Item

        times, taken = list[float](), list[Item]()
        for _ in range(number):
            began = perf_counter()
            taken += [item for item, _ in await self._queue.pop(1, "bench")]
            times.append((perf_counter() - began) * 1000)
        self._taken = taken
        return times

    async def refill(self) -> None:
        for item in self._taken:
            await self._queue.settle(item, ESTIMATE)
            await self.join(item.tenant)

    async def spent_us(self) -> float:
        """Of a script, since the last RESETSTAT."""
        told = (await self.link.call("INFO", "commandstats")).decode()
        line = next(line for line in told.splitlines() if line.startswith("cmdstat_evalsha:"))
        fields = dict(field.split("=") for field in line.partition(":")[2].split(","))
        return float(fields["usec_per_call"])


async def _measured(url: str, seconds: float) -> PopReport:
    queue = Queue(url)
    for number in range(TENANTS * EACH):
        await queue.join(f"tenant-{number % TENANTS}")
    await queue.pops(1)
    await queue.refill()
    times, spent, ends = list[float](), list[float](), perf_counter() + seconds
    while perf_counter() < ends:
        await queue.link.call("CONFIG", "RESETSTAT")
        times += await queue.pops(AT_ONCE)
        spent.append(await queue.spent_us())
        await queue.refill()
    queue.link.close()
    times.sort()
    server_ms = sum(spent) / len(spent) / 1000
    return PopReport(len(times), percentile(times, 50), percentile(times, 99), server_ms)


def section(report: PopReport) -> str:
    head = ("pops", "p50 ms", "p99 ms", "Valkey's own ms")
    figures = map(cell, (report.p50_ms, report.p99_ms, report.server_ms))
    return table(head, [(f"{report.number:,}", *figures)])


def main() -> None:
    apart.run("bench.parts.pops", measured, section, rounds=1, seconds=3.0)


if __name__ == "__main__":
    main()
