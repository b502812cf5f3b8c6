"""Runs a turn: embed, classify, take, search or act, word, check, record, answer.

Each step is durable before the next one. A process that dies leaves a lease that ends, and another
one goes on (`resuming.py`): the message is understood once more if that was not on record, an
action is asked once (inference/actions/calling.py), a wording is one request (wording_request.py),
and the answer is one commit.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, ParamSpec
from uuid import UUID

from django.db import DatabaseError
from django.utils import timezone

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.dialogues import progress, recording
from inference.dialogues.answering import Answering
from inference.dialogues.callers import NoCaller, caller_of
from inference.dialogues.recording import LostTurn
from inference.dialogues.scoped import in_tenant, read_in_tenant
from inference.dialogues.stepping import Stepping
from inference.dialogues.versions import version_of
from inference.intake.access.allowed import NotAllowed
from inference.intake.context import Context
from inference.intake.errors import NotAdmitted, OutOfService
from inference.models import DialogueTurn
from inference.models.assistants.dialogue import LEASE
from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)
P = ParamSpec("P")
MOST_TRIES, AGAIN_S = 60, 1.0  # while a server is away; then another process goes on
RENEW_S = LEASE.total_seconds() / 3
LATER = (OutOfService, DatabaseError, MasterKeyUnavailable, RedisGone)


async def run(context: Context, tenant_id: UUID, turn_id: UUID, lease: UUID) -> None:
    """Run the turn to its end. Another process goes on where a server is away."""
    work = asyncio.current_task()
    assert work
    keeper = asyncio.create_task(_keep(tenant_id, turn_id, lease, work))
    try:
        for _ in range(MOST_TRIES):
            if await _tried(context, tenant_id, turn_id, lease):
                return
            await asyncio.sleep(AGAIN_S)
    except asyncio.CancelledError:  # this process stops
        await _release(tenant_id, turn_id, lease)
        raise
    finally:
        keeper.cancel()


async def _tried(context: Context, tenant_id: UUID, turn_id: UUID, lease: UUID) -> bool:
    """Returns False if a server is away."""
    try:
        turn = await in_tenant(tenant_id, recording.load, turn_id, lease)
        await TurnRun(context, turn).go()
    except LostTurn:
        pass
    except LATER as problem:
        log.warning("turn %s waits: %r", turn_id, problem)
        return False
    return True


async def _keep(tenant_id: UUID, turn_id: UUID, lease: UUID, work: "asyncio.Task[Any]") -> None:
    """Renew the lease while the work goes on; end the work if it is lost."""
    while True:
        await asyncio.sleep(RENEW_S)
        with contextlib.suppress(DatabaseError):
            if not await in_tenant(tenant_id, recording.renew, turn_id, lease):
                work.cancel()


async def _release(tenant_id: UUID, turn_id: UUID, lease: UUID) -> None:
    with contextlib.suppress(DatabaseError):
        await in_tenant(tenant_id, recording.release, turn_id, lease)


class TurnRun:
    def __init__(self, context: Context, turn: DialogueTurn) -> None:
        self._context, self._turn = context, turn

    async def go(self) -> None:
        try:
            await self._steps()
        except (NoCaller, NotAllowed) as refusal:
            await self._fail(refusal.code)
        except NotAdmitted as refusal:
            is_quota = refusal.admission.tier == "quota"
            await self._fail("insufficient_quota" if is_quota else "rate_limit_exceeded")
        except Unreadable:  # Barred is one: the person has been erased or restricted
            await self._fail("person_restricted")
        except LATER:
            if timezone.now() < self._turn.deadline:
                raise
            await self._fail("deadline_exceeded")
        except LostTurn:
            raise
        except Exception:
            log.exception("turn %s broke off", self._turn.pk)
            await self._fail("internal_error")

    async def _steps(self) -> None:
        turn = self._turn
        caller = await caller_of(self._context, turn.dialogue)
        version = await read_in_tenant(turn.tenant_id, version_of, turn.dialogue)
        so_far = progress.unpacked(await self._in_thread(lambda: turn.progress))
        stepping = Stepping(self._context, caller, version, turn)
        async for step, reached in stepping.steps(so_far):
            so_far = reached
            await self._durably(recording.note, turn, step, so_far)
        await Answering(self._context, caller, version, turn, self._durably).give(so_far)

    async def _durably(self, write: Callable[P, bool], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write a step. Raises LostTurn also where a human goes on."""
        if not await self._in_thread(write, *args, **kwargs):
            raise LostTurn

    async def _in_thread(self, work: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Any:
        return await in_tenant(self._turn.tenant_id, work, *args, **kwargs)

    async def _fail(self, code: str) -> None:
        await self._in_thread(recording.fail, self._turn, code)
