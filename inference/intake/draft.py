"""Makes the order of a submission: its id, its deadline, and the most that it can cost."""

import asyncio
import time
from contextlib import suppress

import msgspec
import psycopg

from inference import classes, request_id
from inference.engines import Pool, pools_of
from inference.intake.context import Context
from inference.intake.errors import OutOfService, QueueFull
from inference.intake.limits import cost_bound
from inference.intake.route import has_a_turn, may_reach, open_to, route
from inference.intake.submission import Submission
from inference.order import Order
from inference.tracing.spans import continuation
from infrastructure.redis.link import TROUBLE
from tenants.quotas.charge import Charge, Prices

PRICE_PATIENCE_S = 2.0


async def draft(context: Context, submission: Submission) -> Order:
    """Returns the order.

    It has no pool if none takes it but a cached answer may do: see `with_pool`. Raises
    OutOfService, QueueFull, EnginesPaused.
    """
    caller, model, now = submission.caller, submission.engine.config.name, time.time()
    work_class, prices = classes.of(submission.klass), await _prices(context, model, now)
    in_pools = context.quotas.prices.in_pools(model, now)
    pool = await _pool_unless_kept(context, submission)
    return Order(
        id=request_id.new(now),
        tenant_id=caller.tenant_id,
        subject_id=caller.subject_id,
        actor=caller.actor,
        client_ip=submission.client_ip,
        model=model,
        route=submission.route,
        chat=submission.chat,
        stream=submission.stream,
        include_usage=submission.include_usage,
        reply_to="" if submission.outlives_reader else context.frame_reader.web,
        outlives_reader=submission.goes_on_alone,
        keeps_text=submission.keeps_text,
        body=submission.body,
        created_at=now,
        deadline=min(work_class.deadline(now), now + submission.time_limit_s),
        klass=submission.klass,
        estimate=submission.estimate,
        weight=caller.weight,
        charge=_charge(submission, pool, prices, in_pools, work_class.price_factor),
        pool=pool,
        local_only=caller.local_only,
        local_only_by=caller.local_only_by,
        idempotent=submission.claim is not None,
        body_form=submission.engine.body_form,
        cached=submission.cache.name if submission.cache else b"",
        trace=continuation(),
        may_be_repeated=submission.may_be_repeated,
        adapter=submission.adapter,
        task=submission.task,
        stored=submission.stored,
        choices=submission.several.count,
        session=submission.session,
    )


async def with_pool(context: Context, submission: Submission, order: Order, *, runs: bool) -> Order:
    """Returns the order with a pool, which takes it if it `runs`. Raises like `draft`."""
    if order.pool:
        return order
    caller, model = submission.caller, order.model
    if runs:
        pool = (await _pool(context, submission, model)).name
    else:
        pool = next((pool.name for pool in open_to(caller, model)), "")
    return msgspec.structs.replace(order, pool=pool)


async def _pool_unless_kept(context: Context, submission: Submission) -> str:
    try:
        model = submission.engine.config.name
        return (await _pool(context, submission, model)).name
    except OutOfService:
        if submission.cache:
            return ""
        raise


def _charge(
    submission: Submission, pool: str, prices: Prices, in_pools: dict[str, Prices], factor: float
) -> Charge:
    caller, engine = submission.caller, submission.engine
    reached = may_reach(caller, engine.config.name) if in_pools else []
    return cost_bound.charge(
        caller,
        engine,
        in_pools.get(pool, prices).times(factor),
        body=submission.body,
        chat=submission.chat,
        max_tokens=submission.max_tokens,
        reserve=submission.reserve,
        several=submission.several,
        elsewhere={each.name: in_pools.get(each.name, prices).times(factor) for each in reached},
    )


async def _pool(context: Context, submission: Submission, model: str) -> Pool:
    caller, klass = submission.caller, submission.klass
    try:
        return route(caller, model, klass, _among(submission, model))
    except QueueFull as full:
        for pool in full.pools:
            with suppress(*TROUBLE):
                turns = await context.queues[pool.name].turns(klass, str(caller.tenant_id))
                if has_a_turn(pool, klass, *turns):
                    return pool
        raise


def _among(submission: Submission, model: str) -> frozenset[str] | None:
    """Returns the pools that may take it: all engines of such a pool have its adapter."""
    if submission.adapter is None:
        return submission.among
    serving = {pool.name for pool in pools_of(model) if pool.serves(submission.adapter)}
    return frozenset(serving if submission.among is None else serving & submission.among)


async def _prices(context: Context, model: str, now: float) -> Prices:
    if (prices := context.quotas.prices.known(model, now)) is not None:
        return prices
    try:
        return await asyncio.wait_for(context.quotas.prices.of(model, now), PRICE_PATIENCE_S)
    except (TimeoutError, psycopg.Error, OSError) as problem:
        raise OutOfService(str(problem)) from None
