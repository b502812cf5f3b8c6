"""Drives the trials of all tenants' decision policies.

It has no state: everything is in rows, so any process goes on where one has died.
"""

import asyncio
import logging
from datetime import timedelta

from channels.db import database_sync_to_async
from django.db import DatabaseError

from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.deferred import Refused, Wait
from inference.api.policy_trials.trial import tried
from inference.intake.context import Context
from inference.models import DecisionPolicyVersion
from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)
in_database = database_sync_to_async
AT_ONCE = 20
AGAIN = timedelta(seconds=45)  # after a process that died with it; a trial is shorter
LONGEST_WAIT_S = 60.0
MOST_ATTEMPTS = 5  # while no engine answers, or limits are reached
_AWAY = (DatabaseError, MasterKeyUnavailable, RedisGone)  # another process goes on


def drive_all() -> None:
    """Try each version that is due. Of two of these at once, one tries a version."""
    rows = DecisionPolicyVersion.objects.due()
    versions = list(rows.select_related("policy", "tenant", "trial_key", "trial_member")[:AT_ONCE])
    begun = [(version, version.begin_trial(AGAIN)) for version in versions]
    if attempts := [(version, attempt) for version, attempt in begun if attempt]:
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
        await _wait(version, attempt, wait)
    except _AWAY:
        raise
    except Exception:  # it must not have the others begin anew
        log.exception("trial of %s broke off", version.pk)
        await _wait(version, attempt, Wait(LONGEST_WAIT_S, "internal_error"))


async def _wait(version: DecisionPolicyVersion, attempt: int, wait: Wait) -> None:
    if attempt >= MOST_ATTEMPTS:
        await in_database(version.fail_trial)(wait.code)
        return
    log.info("trial of %s waits: %s", version.pk, wait.code)
    seconds = min(wait.seconds, LONGEST_WAIT_S)
    await in_database(version.try_later)(timedelta(seconds=seconds))
