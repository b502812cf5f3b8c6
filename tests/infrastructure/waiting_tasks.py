"""A Celery application: `python -m tests.infrastructure.waiting_tasks URL worker ...`.

It listens to its queue alone, as the platform's workers do (config/celery.py).
"""

import sys
import time
from pathlib import Path

from celery import Celery

from infrastructure.redis.celery_acknowledgements import free_places

app = Celery("waiting", set_as_current=False)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
)


@app.task(name="wait_for")
def wait_for(file: str) -> None:
    while not Path(file).exists():
        time.sleep(0.05)


@app.task(name="write")
def write(file: str) -> None:
    Path(file).touch()


if __name__ == "__main__":
    free_places()
    app.conf.update(broker_url=sys.argv[1])
    app.start(sys.argv[2:])
