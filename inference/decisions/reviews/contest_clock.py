"""The clock of contests: an alert while there is time to answer."""

import logging

from django.db import transaction
from django.utils import timezone

from inference.models import Contest

log = logging.getLogger(__name__)


def run() -> None:
    """Alert once about each contest that is due within a week."""
    for contest in Contest.objects.nearly_late(timezone.now()).select_related("decision"):
        with transaction.atomic():
            rows = Contest.objects.open().select_for_update(skip_locked=True)
            locked = rows.filter(pk=contest.pk, alerted_at=None).first()
            if locked:
                log.error("contest %s is due at %s", locked.public_id, locked.due_at)
                locked.mark_late()
