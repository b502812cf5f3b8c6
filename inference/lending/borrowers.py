"""The jobs on lent engines, for people."""

from collections.abc import Iterable
from uuid import UUID

from inference.models import Engine, Job
from inference.pool_policy import JOBS, jobs_queue
from inference.queue.client import client
from inference.queue.fair_queue import prefix
from inference.queue.occupancy import engine_of


def borrowers(engines: Iterable[Engine]) -> dict[str, Job]:
    """Returns the job on each lent engine by the engine's name, in the system's scope.

    Raises redis.RedisError.
    """
    pools = {row.pool.name for row in engines if row.lent_since}
    if not pools:
        return {}
    with client().pipeline(transaction=False) as ask:
        for pool in pools:
            ask.hgetall(f"{prefix(jobs_queue(pool))}:on")
        answers = ask.execute()
    lenders = {
        UUID(order.decode()): engine_of(runner).removesuffix(JOBS)
        for runners in answers
        for order, runner in runners.items()
    }
    jobs = Job.objects.filter(order_id__in=lenders)
    return {lenders[job.order_id]: job for job in jobs if job.order_id}
