"""The orders of a job: each sets GPU time aside, and joins the fair queue of the job's pool.

An order gets as much of the quotas' room as there is, an hour of GPU time at most, and the job goes
on with another one after it: so no quota is overspent, and none is blocked for days.
"""

import logging
import time
from typing import Any

import orjson
from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from audit.keys.keyring import keyring
from inference import classes, request_id
from inference.engines import all_queues
from inference.jobs.kinds import KINDS
from inference.models import Job
from inference.order import Order
from inference.pool_policy import jobs_queue
from inference.queue import fair_queue
from inference.queue.pool_workers import wake_up
from inference.record import request_rows, sql_statements
from inference.record.recorded_requests import recorded_order
from tenants.models import Price, Tenant, TierPolicy
from tenants.quotas.charge import Charge
from tenants.quotas.ledger_answer import QuotaWithoutRoom, verdict

log = logging.getLogger(__name__)
LEAST_MS = 5_000  # GPU time that is worth an order
ESTIMATE = 1  # tokens: GPU time is charged as it is taken


def begin(job: Job) -> QuotaWithoutRoom | None:
    """Record and queue the next order of a locked job. Returns the quota that has no room.

    Raises Barred, MasterKeyUnavailable.
    """
    tenant = Tenant.objects.get(pk=job.tenant_id)
    cipher = keyring.of_subject_now(job.tenant_id, job.subject_id)
    price = gpu_price(job)
    gpu_ms = settings.JOB_ORDER_GPU_S * 1000
    while True:
        order = _order(job, tenant, Charge(gpu_ms=gpu_ms, gpu_price=price, **_payers(job)))
        ciphertext = request_rows.encrypted_order(order, cipher)
        refusal = _recorded(order, ciphertext, tenant.time_zone)
        if refusal is None:
            break
        less = min(gpu_ms // 2, _room_ms(refusal, price))
        if less < LEAST_MS:
            return refusal
        gpu_ms = less
    job.note_order(order.id)
    return None


def queue_of(job: Job) -> str:
    """Returns the queue of its orders: its pool's, or the one for jobs where the pool lends."""
    name = jobs_queue(job.pool)
    return name if name in all_queues() else job.pool


def _payers(job: Job) -> dict[str, Any]:
    return {"api_key_id": job.api_key_id, "member_id": job.member_id, "team_id": job.team_id}


def gpu_price(job: Job) -> float:
    """Returns micro-units per GPU-second, now and in the job's pool."""
    price = Price.objects.of(job.model, job.pool)
    factor = classes.of(KINDS[job.kind].klass).price_factor
    return price.gpu_second(time.time()) * factor if price else 0.0


def _room_ms(refusal: QuotaWithoutRoom, price: float) -> int:
    """Returns the GPU time for which the quota has room."""
    room = max(0, refusal.limit - refusal.used - refusal.reserved)
    if refusal.unit == "gpu_seconds":
        return room * 1000
    return int(room / price * 1000) if refusal.unit == "cost" and price else 0


def _order(job: Job, tenant: Tenant, charge: Charge) -> Order:
    klass, now = KINDS[job.kind].klass, time.time()
    body = {"job": job.id.hex, "kind": job.kind, "base": job.base, "seed": job.seed}
    return Order(
        id=request_id.new(now),
        tenant_id=job.tenant_id,
        subject_id=job.subject_id,
        actor=job.actor,
        client_ip="",
        model=job.model,
        route=classes.JOB,
        chat=False,
        stream=False,
        include_usage=False,
        reply_to="",
        outlives_reader=True,
        body=orjson.dumps({**body, "parameters": job.parameters}),
        created_at=now,
        deadline=classes.of(klass, classes.JOB).deadline(now),
        estimate=ESTIMATE,
        weight=TierPolicy.objects.of(tenant.tier).weight,
        klass=klass,
        charge=charge,
        pool=queue_of(job),
    )


def _recorded(order: Order, ciphertext: bytes, time_zone: str) -> QuotaWithoutRoom | None:
    row = request_rows.received_row(order, ciphertext, time_zone)
    with connection.cursor() as cursor:
        cursor.execute(sql_statements.RECEIVED, [orjson.dumps([row]).decode()])
        answers = cursor.fetchall()
    answer = answers[0][1] if answers else None
    return verdict(orjson.loads(answer) if isinstance(answer, str) else answer).out_of


def enqueue(job: Job) -> None:
    """Have the order of a committed job in its queue; the sweeper does it where this fails."""
    record = recorded_order(job.order_id) if job.order_id else None
    if record is None:
        return
    ciphertext, order = record
    arguments = fair_queue.enqueue_arguments(order.item, ciphertext, "tail")
    try:
        awake, *_rest = fair_queue.run_blocking(fair_queue.ENQUEUE, order.queue, *arguments)
        if awake == 0:
            wake_up(order.queue)
    except RedisError as problem:
        log.warning("job %s: its order is queued later: %s", job.public_id, problem)
