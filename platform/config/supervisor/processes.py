"""The platform's own processes: web, gRPC, jobs, beat, and the workers of engines."""

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from config import celery_arguments
from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.http_probe import answers, get
from config.supervisor.keeper import Keeper
from config.supervisor.options import Options
from config.supervisor.ports import listens
from config.supervisor.scrape_targets import ScrapeTargets


class Processes:
    def __init__(
        self, options: Options, home: Home, keeper: Keeper, variables: Mapping[str, str]
    ) -> None:
        self._options, self._keeper = options, keeper
        self._variables = variables
        self._targets = ScrapeTargets(home, options.metrics_port)
        self._targets.clear()  # the list of an earlier run

    async def worker(self, queue: str, number: int = 1) -> Child:
        """Start the `number`th worker of an engine, which this Celery queue wakes."""
        name = celery_arguments.worker_name(queue)
        scraped = self._targets.variables(name, "worker", number)
        return await self._celery(name, scraped, celery_arguments.worker(queue))

    def remove(self, worker: Child) -> None:
        """Take a worker that has ended with its engine off the list for Prometheus."""
        self._targets.remove(worker.name)

    async def start(self) -> None:
        """Start all but the workers of engines (workers.py)."""
        if self._options.has("jobs"):
            await self._jobs()
        processes = self._options.web_processes if self._options.has("web") else 0
        await run_concurrently(*map(self._web, range(1, processes + 1)), self._grpc())

    async def _jobs(self) -> None:
        scraped = self._targets.variables("jobs", "jobs")
        await self._celery("jobs", scraped, celery_arguments.jobs())
        await self._celery("beat", {}, celery_arguments.beat())

    async def _web(self, number: int) -> None:
        name = "web" if self._options.web_processes == 1 else f"web.{number}"
        child = self._front(name, "web", "config.web_server", number)
        await self._keeper.start(child, partial(self._what_is_missing, child))

    async def _grpc(self) -> None:
        if not self._options.grpc_port:
            return
        number = self._options.web_processes + 1
        child = self._front("grpc", "grpc", "config.grpc_server", number)
        await self._keeper.start(child, self._is_listening)

    def _front(self, name: str, role: str, module: str, number: int) -> Child:
        """Returns the `number`th of the processes that take requests."""
        command = [sys.executable, "-m", module]
        scraped = self._targets.variables(name, role, number if role == "web" else 1)
        variables = {**self._variables, **scraped, "FOREBAY_PROCESS_NUMBER": str(number)}
        return self._keeper.child(name, command, variables, stage=Stage.DOOR, is_watched=True)

    async def _is_listening(self) -> str | None:
        listening = await answers(self._options.near_host, self._options.grpc_port or 0)
        return None if listening else "it does not listen yet"

    async def _celery(self, name: str, variables: Mapping[str, str], line: Sequence[str]) -> Child:
        command = [sys.executable, "-m", *line]
        variables = {**self._variables, **variables}
        child = self._keeper.child(name, command, variables, stage=Stage.WORK, is_watched=True)
        await self._keeper.start(child, _nothing_is_missing)
        return child

    async def _what_is_missing(self, web: Child) -> str | None:
        if not listens(web.pid, self._options.port):
            return "it does not answer yet"
        address = self._options.near_host, self._options.port
        answer = await get(*address, "/readyz", tls=self._options.tls)
        if answer.status == 200 or _only_engines_are_away(answer.body):
            return None
        return answer.body.strip() or "it does not answer yet"


def _only_engines_are_away(body: str) -> bool:
    """Returns whether all but the engines is ready; the console reports engines that are away."""
    try:
        checks = json.loads(body)["checks"]
        return [name for name, answers in checks.items() if not answers] == ["engines"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


async def _nothing_is_missing() -> None:
    """Report a child as ready at once; whether workers are up is for /readyz to say."""


async def run_concurrently(*works: Coroutine[Any, Any, None]) -> None:
    """Run several things at once. The first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
