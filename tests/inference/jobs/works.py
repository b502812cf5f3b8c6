"""What a test of jobs needs around them: a base, a file, an owner, and a driver."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from inference.batch.file_store import FileOwner, FileWriter
from inference.jobs import creating
from inference.jobs.bases import Place
from inference.jobs.creating import JobOwner, Wanted
from inference.jobs.driving import drive_due
from inference.jobs.on_host import patience
from inference.model_registry.registering import register
from inference.models import File, FilePurpose, Job, ModelVersion, Usage, VersionKind
from inference.models.job import OVER
from inference.worker.runner import Runner
from tenants.models import ApiKey, Tenant
from tenants.scope import tenant_scope
from tests.inference.jobs.scripted_trainer import tensors
from tests.inference.running import Bench, until
from tests.inference.scripted import ScriptedEngine


def in_database(work: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """Returns the call in a thread, which is repeated where a busy machine is slow to connect."""

    async def call(*arguments: Any, **named: Any) -> Any:
        return await patience.in_database(partial(work, *arguments, **named))

    return call


async def rows(of: Any) -> list[Any]:
    """Returns the rows of a query."""
    found: list[Any] = await in_database(lambda: list(of))()
    return found


CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
LINES = b"".join(orjson.dumps(CHAT) + b"\n" for _ in range(10))


class Works:
    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.diary = folder / "diary"
        self._base: ModelVersion | None = None
        self._wakes = False  # a runner that was idle and left is woken, as by Celery

    def place(self, *_: Any) -> Place:
        return Place(self.bench.pool, self.bench.pool)

    # Before it begins ----------------------------------------------------------------------------
    async def create(self, kind: str = "fine-tune", **more: Any) -> Job:
        """A job over a small file; `more` are fields of Wanted, or the trainer's parameters."""
        job: Job = await in_database(self._create)(kind, **more)
        return job

    def _create(self, kind: str, **more: Any) -> Job:
        names = set(Wanted.__dataclass_fields__)
        fields = {name: more.pop(name) for name in names & more.keys()}
        tenant = more.pop("tenant", self.bench.acme)
        owner = more.pop("owner", None) or self.owner(tenant)
        parameters = {"diary": str(self.diary), **more}
        if kind != "prepare":
            fields.setdefault("base", self.base())
        fields = {"parameters": parameters, **fields}
        if kind in ("fine-tune", "pretrain", "distil", "score", "prepare"):
            fields.setdefault("training_file", self.file(tenant, kind, owner))
        with tenant_scope(tenant.id):
            return creating.create(owner, Wanted(kind=kind, **fields))

    def owner(self, tenant: Tenant) -> JobOwner:
        key, _secret = ApiKey.issue(tenant, f"key {uuid4().hex[:6]}", by="test")
        return JobOwner(tenant.id, key.subject_id, f"key:{key.id}", api_key_id=key.id)

    def base(self) -> str:
        if self._base is None:
            folder = self.folder / "base"
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(tensors(3))
            (folder / "config.json").write_text('{"model_type": "llama"}')
            self._base = register(
                tenant_id=None, name="tiny", folder=folder, kind=VersionKind.BASE, licence="mit"
            )
        return "tiny"

    def file(self, tenant: Tenant, kind: str, owner: JobOwner, content: bytes = b"") -> File:
        lines = LINES if kind == "fine-tune" else b'{"text": "a page"}\n' * 5
        whose = FileOwner(tenant.id, owner.subject_id, owner.api_key_id, owner.actor)
        writer = FileWriter(whose, FilePurpose.FINE_TUNE, "lines.jsonl")
        writer.write(content or lines)
        return writer.finish()

    # Its life ------------------------------------------------------------------------------------
    def start(self) -> Runner:
        self._wakes = True
        return self.bench.start(ScriptedEngine())

    def _wake(self) -> None:
        if self._wakes and self.bench.drains[-1].done():
            self.bench.start(ScriptedEngine())

    async def drive(self) -> None:
        await in_database(drive_due)()

    async def reaches(
        self,
        job: Job,
        *states: str,
        step: int = 0,
        order: bool | None = None,
        seconds: float = 60,
    ) -> Job:
        """Returns the job once it is in one of the states, having done so many steps.

        `order`: whether it has one that is open.
        """

        async def look() -> Job | None:
            await self.drive()
            self._wake()
            await asyncio.sleep(0.05)
            row = await in_database(Job.objects.get)(pk=job.pk)
            if row.state in OVER and row.state not in states:
                raise AssertionError  # it goes nowhere from there
            if order is not None and (row.order_id is not None) != order:
                return None
            return row if row.state in states and row.done >= step else None

        try:
            row: Job = await until(look, seconds)
        except AssertionError:
            raise AssertionError(await in_database(self._story)(job)) from None
        return row

    def _story(self, job: Job) -> str:
        row = Job.objects.get(pk=job.pk)
        events = list(row.events.order_by("id").values_list("code", "message"))
        return f"it is {row.state} ({row.reason}) at {row.done} of {row.of}: {events}"

    async def act(self, job: Job, verb: str) -> None:
        fresh = await in_database(Job.objects.get)(pk=job.pk)
        await in_database(getattr(fresh, verb))(by="test")

    async def stop(self) -> None:
        """Stop the runner, whichever has been woken last."""
        self._wakes = False
        for runner in self.bench.runners:
            runner.stop()
        await asyncio.wait_for(asyncio.gather(*self.bench.drains), 60)

    async def bill(self) -> tuple[int, int]:
        """Returns GPU milliseconds and cost of all settled orders."""
        usage = await rows(Usage.objects.all())
        return sum(row.gpu_ms for row in usage), sum(row.cost for row in usage)

    def steps(self) -> list[int]:
        """Returns the steps that a trainer began, in their order."""
        return [int(line.split()[1]) for line in self.lines() if line.startswith("begins")]

    def lines(self) -> list[str]:
        return self.diary.read_text().splitlines() if self.diary.exists() else []
