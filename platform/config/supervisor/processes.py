"""The platform's own processes: web, gRPC, jobs, beat, the workers of engines, and what runs first.

Management commands run before the platform starts: migrations, and the first sign-in.
"""

import asyncio
import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import celery_process
from config.supervisor.child import Child, Stage
from config.supervisor.home import Home
from config.supervisor.http_probe import answers, get
from config.supervisor.keeper import Keeper
from config.supervisor.options import RunOptions
from config.supervisor.ports import listens
from config.supervisor.scrape_targets import ScrapeTargets
from config.supervisor.terminal import done
from inference.worker import assigned_queues

_SEES_ALL = {"FOREBAY_DATABASE_SCOPE": "system"}
_OF_CELERY = {
    **_SEES_ALL,
    "CELERY_SKIP_CHECKS": "1",
}  # config/celery.py sets it too late for a fork


@dataclass(frozen=True)
class FirstRun:
    operator_link: str | None = None
    demo_tenant: str | None = None
    demo_api_key: str | None = None


class Processes:
    def __init__(
        self, options: RunOptions, home: Home, keeper: Keeper, variables: Mapping[str, str]
    ) -> None:
        self._options, self._home, self._keeper = options, home, keeper
        self._variables = variables
        self._targets = ScrapeTargets(home, options.metrics_port)
        self._targets.clear()  # the list of an earlier run

    async def migrate(self, administrator: Mapping[str, str]) -> None:
        """Run `migrate` without Django's checks: they load every page.

        Web processes check tables.
        """
        arguments = ["migrate", "--noinput", "--skip-checks"]
        await self._keeper.forks.loaded()
        await self._keeper.run(self._manage(arguments, administrator))
        done("tables ready")

    async def prepare_start(self, *, first_run: bool) -> FirstRun:
        """Check the keys, erase again what a restore brought back, and make the first sign-in."""
        await self._keeper.forks.loaded()
        answer_file = self._home.run / "first_run.json"
        self._home.write_private(answer_file, "")
        with answer_file.open("wb") as output:
            arguments = ["prepare_start", *([] if first_run else ["--no-first-run"])]
            arguments += [] if self._options.has("jobs") else ["--no-jobs"]
            await self._keeper.run(self._manage(arguments), output=output.fileno())
        fields = json.loads(answer_file.read_text())
        answer_file.unlink()
        return FirstRun(**fields)

    def _manage(self, arguments: Sequence[str], more: Mapping[str, str] | None = None) -> Child:
        line = [sys.executable, "-m", "config.command", "manage", *arguments]
        variables = {**self._variables, **_SEES_ALL, **(more or {})}
        return self._keeper.child(arguments[0], line, variables, stage=Stage.WORK, is_forked=True)

    def worker(self, number: int, queues: Path) -> None:
        """Start the `number`th worker process of this host, whose queues a file lists."""
        name = f"worker.{number}"
        variables = {assigned_queues.FILE: str(queues)}
        variables |= self._targets.variables(name, "worker", number)
        self._celery(name, variables, celery_process.shared_worker(number))

    async def start(self) -> None:
        """Start all but the workers of engines (workers.py)."""
        options = self._options
        starts = list[Coroutine[Any, Any, None]]()
        if options.has("web"):
            starts += map(self._web, range(1, options.web_processes + 1))
        if options.grpc_port:
            starts.append(self._grpc(options.grpc_port))
        if options.has("jobs"):
            starts.append(self._jobs_and_beat())
        await run_concurrently(*starts)

    async def _jobs_and_beat(self) -> None:
        scraped = self._targets.variables("jobs", "jobs")
        self._celery("jobs", scraped, celery_process.jobs())
        self._celery("beat", {}, celery_process.beat())

    async def keep_backups(self, superusers_url: str) -> None:
        """Start the process that backs the embedded PostgreSQL up; it stops with that.

        Raises Problem if its place or its key are of no use.
        """
        line = [sys.executable, "-m", "config.backup"]
        variables = {**self._variables, "FOREBAY_BACKUP_DATABASE_URL": superusers_url}
        trial = [*line, "--check"]
        await self._keeper.run(self._keeper.child("backup", trial, variables, stage=Stage.WORK))
        child = self._keeper.child("backup", line, variables, stage=Stage.SERVER, is_watched=True)
        self._keeper.keep(child)

    def govern_clocks(self) -> None:
        """Start the process that governs the clocks of this host's GPUs."""
        line = [sys.executable, "-m", "config.energy", "governor"]
        child = self._keeper.child(
            "energy", line, self._variables, stage=Stage.WORK, is_watched=True
        )
        self._keeper.keep(child)

    async def _web(self, number: int) -> None:
        name = "web" if self._options.web_processes == 1 else f"web.{number}"
        child = self._front(name, "web", number)

        async def what_is_missing() -> str | None:
            if not listens(child.pid, self._options.port):
                return "it does not answer yet"
            address = self._options.near_host, self._options.port
            # The console reports engines that are away.
            answer = await get(*address, "/readyz?without=engines", tls=self._options.tls)
            if answer.status == 200:
                return None
            return answer.body.strip() or "it does not answer yet"

        await self._keeper.start(child, what_is_missing)

    async def _grpc(self, port: int) -> None:
        async def what_is_missing() -> str | None:
            listening = await answers(self._options.near_host, port)
            return None if listening else "it does not listen yet"

        child = self._front("grpc", "grpc", self._options.web_processes + 1)
        await self._keeper.start(child, what_is_missing)

    def _front(self, name: str, role: str, number: int) -> Child:
        """Returns the `number`th of the processes that take requests."""
        command = [sys.executable, "-m", f"config.{role}_server"]
        scraped = self._targets.variables(name, role, number if role == "web" else 1)
        own = {"FOREBAY_PROCESS_NUMBER": str(number), "FOREBAY_DATABASE_SCOPE": "none"}
        variables = {**self._variables, **scraped, **own}
        return self._keeper.child(
            name, command, variables, stage=Stage.DOOR, is_watched=True, is_forked=True
        )

    def _celery(self, name: str, variables: Mapping[str, str], line: Sequence[str]) -> None:
        """Start a process of Celery. Whether workers are up is for /readyz to say."""
        child = self._keeper.child(
            name,
            [sys.executable, "-m", *line],
            {**self._variables, **_OF_CELERY, **variables},
            stage=Stage.WORK,
            is_watched=True,
            is_forked=True,
        )
        self._keeper.keep(child)


async def run_concurrently(*works: Coroutine[Any, Any, None]) -> None:
    """Run several things at once. The first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
