"""A thread of Celery's keeps its connection to PostgreSQL from one task to the next."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals
from celery.fixups import django as fixups
from django.conf import settings
from django.db import connection

from config.celery import app
from tests.audit.sealed import superuser

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect Celery's handlers, which act on connections around a task."""
    for name, value in settings.CELERYS_CONNECTION.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    app.loader.import_default_modules()
    fixup: Any = vars(fixups)["DjangoWorkerFixup"](app).install()
    yield
    signals.task_prerun.disconnect(fixup.on_task_prerun)
    signals.task_postrun.disconnect(fixup.on_task_postrun)
    signals.worker_process_init.disconnect(fixup.on_worker_process_init)
    signals.beat_embedded_init.disconnect(fixup.close_database)


def run_a_task() -> int:
    """The process id of the connection that it had."""
    task = app.tasks["audit.seal"]
    signals.task_prerun.send(sender=task)
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        (pid,) = cursor.fetchone()
    signals.task_postrun.send(sender=task)
    return int(pid)


def test_tasks_share_a_connection() -> None:
    assert len({run_a_task() for _ in range(5)}) == 1


def test_one_that_has_died_is_replaced_before_the_next_task() -> None:
    died = run_a_task()
    with superuser() as root:
        root.execute("select pg_terminate_backend(%s, 5000)", [died])
    assert run_a_task() != died
