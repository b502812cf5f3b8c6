"""The rotation of API keys whose time has come. Celery's beat starts it."""

import logging

from django.core.exceptions import ValidationError

from tenants.models import ApiKey

log = logging.getLogger(__name__)


def rotate_due_keys() -> int:
    """Rotates all keys that are due. Returns how many. One that fails does not stop the others."""
    rotated = 0
    for key in ApiKey.objects.due_for_rotation().select_related("tenant"):
        try:
            rotated += key.rotate_if_due() is not None
        except ValidationError as problem:
            log.warning("key %s was not rotated: %s", key.pk, " ".join(problem.messages))
        except Exception:  # whatever is wrong with one key must not stop those of other tenants
            log.exception("key %s was not rotated", key.pk)
    return rotated
