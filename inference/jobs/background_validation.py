"""Validates jobs in threads of their own: a large file takes a minute, and Celery's are few.

The sealer and the sweeper share those. Of a tenant one job is validated at a time.
"""

import logging
from threading import Lock, Thread
from uuid import UUID

from django.db import connection
from django.utils import timezone

from inference.jobs.validation import AGAIN, validate
from inference.models import Job

log = logging.getLogger(__name__)
AT_ONCE = 3  # jobs in this process
_tenants: set[UUID] = set()  # whose jobs are being validated
_entering = Lock()


def begin(job: Job) -> bool:
    """Validate a claimed job in a thread, or have it due again soon.

    Returns False: it is not over yet.
    """
    if _enter(job.tenant_id):
        Thread(target=_run, args=[job], name="validation", daemon=True).start()
    else:
        Job.objects.filter(pk=job.pk).update(due_at=timezone.now() + AGAIN)
    return False


def _enter(tenant_id: UUID) -> bool:
    with _entering:
        has_place = len(_tenants) < AT_ONCE and tenant_id not in _tenants
        if has_place:
            _tenants.add(tenant_id)
        return has_place


def _run(job: Job) -> None:
    try:
        validate(job)
    except Exception:  # it is due again when its claim ends
        log.exception("job %s could not be validated", job.pk)
    finally:
        _tenants.discard(job.tenant_id)
        connection.close()
