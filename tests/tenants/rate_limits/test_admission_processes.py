"""Four processes that ask at the same time, as four web processes do."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings

from tenants.rate_limits.admission import Ask
from tests.tenants.callers import caller
from tests.tenants.conftest import NewLink

DATABASE = "/6"  # one that has never lost anything: after a loss nobody gets a whole burst
PROCESSES, TASKS, BURST = 4, 64, 1000
ROOT = Path(__file__).parents[3]
_RUSH = """
import asyncio, json, sys, time, uuid
from tenants.rate_limits.admission import Ask, SharedAdmission
from tenants.caller import Limits
from infrastructure.redis.link import RedisLink

async def nothing(): pass

async def main(url, tenant, key, tasks, burst):
    link, let_in = RedisLink(url), []
    shared = SharedAdmission(link, nothing)
    await link.call("PING")
    print("ready", flush=True)
    together = float(sys.stdin.readline())
    time.sleep(max(0, together - time.time()))

    async def one():
        for _ in range(burst // 10):
            ask = Ask(str(uuid.uuid4()), tenant=tenant, limits=Limits(1, burst), key=key, hold_s=60)
            admission, _ = await shared.admit(ask)
            let_in.append(not admission.tier)

    await asyncio.gather(*[one() for _ in range(tasks)])
    print(json.dumps([len(let_in), sum(let_in)]), flush=True)

asyncio.run(main(*sys.argv[1:4], *map(int, sys.argv[4:])))
"""


@pytest.fixture
async def redis(new_link: NewLink) -> str:
    url = settings.REDIS_URL.rpartition("/")[0] + DATABASE
    await new_link(url).call("FLUSHDB")
    return url


async def test_processes_together_let_in_exactly_the_burst(redis: str) -> None:
    who = Ask.of(caller(), "")
    words = [redis, who.tenant, who.key, str(TASKS), str(BURST)]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    each = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _RUSH, *words, cwd=ROOT, **pipes)  # type: ignore[arg-type]
        for _ in range(PROCESSES)
    ]
    for process in each:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
    together = b"%f\n" % (time.time() + 0.3)
    answers = await asyncio.gather(*[process.communicate(together) for process in each])
    asked, let_in = zip(*[json.loads(out) for out, _ in answers], strict=True)
    assert sum(asked) == PROCESSES * TASKS * BURST // 10
    assert sum(let_in) == BURST
    assert sum(n > 0 for n in let_in) > 1  # it was a race
