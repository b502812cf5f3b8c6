"""Ends what dead processes left behind: imports, half deleted versions, files of nobody."""

import logging
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from inference.model_registry.deleting import remove_files
from inference.model_registry.importing import remove_leftovers
from inference.model_registry.opening import remove_stale
from inference.model_registry.storage import store
from inference.models import ModelFile, ModelVersion, VersionState
from infrastructure.objects.place import StoreError

log = logging.getLogger(__name__)
GIVEN_UP = timedelta(hours=1)  # after the last sign of an import
UNKNOWN = timedelta(days=1)  # an object without a row is no file that is being written
BY = "system:models"
_PLACES = ("path", "url", "files", "checkpoint")  # in the sources of imports


def tidy() -> None:
    """Do all of it, in the system's scope."""
    remove_leftovers()
    remove_stale()
    try:
        give_up()
        remove_unknown()
    except StoreError as problem:
        log.warning("the store of models cannot be tidied: %s", problem)


def give_up() -> None:
    """Fail versions whose writer has died, and finish deletions, in the system's scope.

    Imports from sources stay: they wait for their turn, or are begun anew (importing.py).
    """
    untouched = ModelVersion.objects.filter(
        state=VersionState.IMPORTING, touched_at__lt=timezone.now() - GIVEN_UP
    )
    for version in untouched.exclude(source__has_any_keys=_PLACES):
        version.fail("the process that imported it has ended", by=BY)
    over = ModelVersion.objects.filter(state__in=[VersionState.DELETED, VersionState.FAILED])
    for version in over.filter(files__isnull=False).distinct():
        remove_files(version)


def remove_unknown() -> int:
    """Delete objects that no version has, such as those of a removed tenant. Returns how many."""
    count, before = 0, timezone.now() - UNKNOWN
    for owner in store().owners():
        for stored in list(store().stored(owner)):
            rows = ModelFile.objects.filter(sha256=stored.sha256)
            own = rows.filter(tenant=None if owner == "platform" else UUID(owner))
            if stored.modified_at < before and not own.exists():
                store().delete(owner, stored.sha256)
                count += 1
    return count
