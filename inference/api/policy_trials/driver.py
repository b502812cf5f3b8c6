"""Drives the trials of all tenants' decision policies.

It has no state: everything is in rows, so any process goes on where one has died.
"""

import asyncio
import logging
from datetime import timedelta

from channels.db import database_sync_to_async

from inference.api.deferred import Refused, Wait
from inference.api.policy_trials.trial import tried
from inference.intake.context import Context
from inference.models import DecisionPolicyVersion

log = logging.getLogger(__name__)
in_database = database_sync_to_async
AT_ONCE = 20
AGAIN = timedelta(seconds=45)  # after a process that died with it; a trial is shorter
LONGEST_WAIT_S = 60.0
MOST_ATTEMPTS = 5  # while no engine answers, or limits are reached


def drive_all() -> None:
    """Try each version that is due. Two of these at once do no harm."""
    rows = DecisionPolicyVersion.objects.due()
    versions = list(rows.select_related("policy", "tenant", "trial_key", "trial_member")[:AT_ONCE])
    attempts = [(version, version.begin_trial(AGAIN)) for version in versions]
    if attempts:
        asyncio.run(_try(attempts))


async def _try(attempts: list[tuple[DecisionPolicyVersion, int]]) -> None:
    async with Context.opened() as context:
        await asyncio.gather(*(_end(context, *attempt) for attempt in attempts))


async def _end(context: Context, version: DecisionPolicyVersion, attempt: int) -> None:
    try:
        trial = await tried(context, version)
        await in_database(version.pass_trial)(trial)
    except Refused as refused:
        await in_database(version.fail_trial)(refused.code, **refused.detail)
    except Wait as wait:
        if attempt >= MOST_ATTEMPTS:
            await in_database(version.fail_trial)(wait.code)
        else:
            log.info("trial of %s waits: %s", version.pk, wait.code)
            seconds = min(wait.seconds, LONGEST_WAIT_S)
            await in_database(version.try_later)(timedelta(seconds=seconds))
