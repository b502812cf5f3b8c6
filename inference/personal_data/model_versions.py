"""Retention of a tenant's versions of models. One that is in use stays, whatever its age."""

from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction

from inference.model_registry import deleting
from inference.models import ModelVersion, VersionState

KINDS = {"model_versions": ("inference_modelversion", "created_at")}  # for data_classes.by_month
BY = "system:retention"


def erase_old(tenant_id: UUID, before: datetime, spare: frozenset[UUID]) -> int:
    """Delete old versions, and the rows of those whose files went as long ago.

    A version is nobody's own text: a hold of a person (`spare`) covers none.
    """
    rows = ModelVersion.objects.of(tenant_id).filter(created_at__lt=before)
    forgotten = rows.filter(state=VersionState.DELETED, deleted_at__lt=before)
    count, _by_table = forgotten.filter(child_links=None).delete()
    unused = [row for row in rows.exclude(state=VersionState.DELETED) if not deleting.user(row)]
    for version in unused:
        version.delete_files(by=BY)
        # Not before the rows are: a commit that fails would leave versions without files.
        transaction.on_commit(partial(deleting.remove_files, version), robust=True)
    return count + len(unused)
