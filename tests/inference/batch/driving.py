"""A driver of batches in a process of its own, that can be killed."""

import asyncio
import os
from datetime import timedelta

from django.conf import settings

from inference.api.batch import driver, run
from inference.intake.context import Context


def work() -> None:
    """What a jobs process does; it misses a dead one sooner."""
    settings.DATABASE_URL = os.environ["DRIVING_DSN"]
    run.LEASE = timedelta(seconds=0.6)
    run.BEAT_S = 0.1
    print("ready", flush=True)
    input()
    asyncio.run(_drive())


async def _drive() -> None:
    context = await Context.open()
    while True:
        await driver.drive(context, asyncio.Event())
        await asyncio.sleep(0.05)
