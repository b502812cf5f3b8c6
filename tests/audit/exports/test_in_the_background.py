"""Exports of millions of events are made beside Celery's threads, which the sealer shares."""

import threading
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest
from django.utils import timezone

from audit import tasks
from audit.exports import trail_export
from audit.exports.export_file import MAKING
from audit.models import Export


@pytest.mark.django_db(transaction=True)
def test_a_task_does_not_wait_for_the_export_that_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, released = Event(), list[bool]()

    def make(_export: Export, _verify: object) -> None:
        released.append(goes_on.wait(5))

    monkeypatch.setattr(trail_export, "_make", make)
    Export.objects.create(
        tenant_id=uuid4(),
        kind=trail_export.KIND,
        state=MAKING,
        actor="test",
        asked={},
        expires_at=timezone.now() + timedelta(hours=1),
    )
    tasks.export()
    goes_on.set()
    for thread in threading.enumerate():
        if thread.name == "exports":
            thread.join(30)
    assert released == [True]
