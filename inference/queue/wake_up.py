"""Tells a pool's worker that there is work, through Celery."""

from celery import current_app


def wake_up(pool: str) -> None:
    """Publishes one message; the queue's scripts see to it that few are needed.

    It expires: a worker that comes back late finds the work in the fair queue, not in here.
    """
    current_app.send_task(
        "inference.drain",
        (pool,),
        queue=f"pool.{pool}",
        expires=10,
        retry=False,
        ignore_result=True,
    )
