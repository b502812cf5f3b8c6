"""Drives the evaluations of all tenants: submits their requests, and writes their reports.

It has no state: everything is in rows, so any process goes on where one has died.
"""

import asyncio
import logging
from collections.abc import Callable

import redis
from channels.db import database_sync_to_async
from django.db import DatabaseError

from audit.keys.keyring import Unreadable
from audit.keys.master_keys.errors import MasterKeyUnavailable
from inference.api.evaluations import collecting, submitting
from inference.evaluation.content import Content
from inference.intake.context import Context
from inference.models import Evaluation
from infrastructure.redis.link import RedisGone

log = logging.getLogger(__name__)
AT_ONCE = 50
BROKEN = "internal_error"
_AWAY = (DatabaseError, MasterKeyUnavailable, redis.RedisError, RedisGone)  # it goes on later


def drive_all() -> None:
    """Do what is due for each evaluation. Two of these at once do no harm."""
    waiting = list[tuple[Evaluation, Content]]()
    rows = Evaluation.objects.due().select_related("task_set", "tenant", "api_key", "member")
    for evaluation in rows.order_by("due_at")[:AT_ONCE]:
        evaluation.look_again()
        if evaluation.is_over:
            _patiently(collecting.end_requests, evaluation)
        elif (content := _content(evaluation)) is None:
            continue
        elif any(completion_id is None for _side, _model, completion_id in evaluation.sides):
            waiting.append((evaluation, content))
        else:
            _patiently(collecting.collect, evaluation, content)
    if waiting:
        asyncio.run(_begin(waiting))


def _content(evaluation: Evaluation) -> Content | None:
    """Returns the task set's content; None if it is gone, or cannot be read now."""
    try:
        if evaluation.task_set:
            return evaluation.task_set.content
    except Unreadable:
        pass
    except MasterKeyUnavailable:
        return None
    evaluation.fail("task_set_gone")
    return None


def _patiently(do: Callable[..., None], evaluation: Evaluation, *more: Content) -> None:
    """Do it, or leave it to the next look where a server is away."""
    try:
        do(evaluation, *more)
    except _AWAY as problem:
        log.warning("evaluation %s: %s", evaluation.pk, problem)
    except Exception:  # it must not hold up those of others
        log.exception("evaluation %s broke off", evaluation.pk)
        evaluation.fail(BROKEN)


async def _begin(waiting: list[tuple[Evaluation, Content]]) -> None:
    async with Context.opened() as context:
        for evaluation, content in waiting:
            await _begin_patiently(context, evaluation, content)


async def _begin_patiently(context: Context, evaluation: Evaluation, content: Content) -> None:
    """Begin it, or leave it to the next look where a server is away."""
    try:
        await submitting.begin(context, evaluation, content)
    except _AWAY as problem:
        log.warning("evaluation %s: %s", evaluation.pk, problem)
    except Exception:  # it must not hold up those of others
        log.exception("evaluation %s broke off", evaluation.pk)
        await database_sync_to_async(evaluation.fail)(BROKEN)
