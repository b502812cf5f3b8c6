"""Ends what dead processes left behind: imports, half deleted versions, drafts, files of nobody."""

import logging
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from audit.checks import resume_after_restore
from audit.models import Event
from inference.model_registry.deleting import remove_files
from inference.model_registry.importing import remove_leftovers
from inference.model_registry.opening import remove_stale
from inference.model_registry.registering import scope_of
from inference.model_registry.storage import store
from inference.models import ModelFile, ModelVersion, VersionState
from inference.models.model_version import lock_registry
from infrastructure.objects.place import StoreError

log = logging.getLogger(__name__)
GIVEN_UP = timedelta(hours=1)  # after the last sign of an import
UNKNOWN = timedelta(days=1)  # an object without a row is no file that is being written
AFTER_RESTORE = timedelta(days=30)
BY = "system:models"
_PLACES = ("path", "url", "files", "checkpoint")  # in the sources of imports


def tidy() -> None:
    """Do all of it, in the system's scope."""
    remove_leftovers()
    remove_stale()
    try:
        give_up()
        remove_unknown()
        store().delete_drafts(timezone.now() - UNKNOWN)
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
    """Delete objects that no version has, such as those of a removed tenant. Returns how many.

    For a time after a restore there are none: the database that was set aside may have them, or
    the platform of which this one is a copy.
    """
    if _was_restored():
        return 0
    count, before = 0, timezone.now() - UNKNOWN
    for owner in filter(_is_owner, store().owners()):
        files = ModelFile.objects.filter(tenant=_tenant(owner))
        known = set(files.values_list("sha256", flat=True))
        for stored in list(store().stored(owner)):
            if stored.modified_at < before and stored.sha256 not in known:
                count += _remove_unknown(owner, stored.sha256)
    return count


def _was_restored() -> bool:
    since = timezone.now() - AFTER_RESTORE
    return Event.objects.filter(actor=resume_after_restore.BY, at__gt=since).exists()


def _is_owner(name: str) -> bool:
    """Returns whether a folder of the store is ours: it may have others, such as lost+found."""
    with suppress(ValueError):
        return _tenant(name) is None or name == str(_tenant(name))
    return False


def _tenant(owner: str) -> UUID | None:
    return None if owner == "platform" else UUID(owner)


def _remove_unknown(owner: str, digest: str) -> bool:
    """Delete an object, unless a version has claimed it since the look at all of them."""
    tenant_id = _tenant(owner)
    with scope_of(tenant_id):
        lock_registry(tenant_id)
        if ModelFile.objects.filter(tenant=tenant_id, sha256=digest).exists():
            return False
        store().delete(owner, digest)
    return True
