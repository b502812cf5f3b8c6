"""Marks versions that were trained on data of a person who has been erased since.

Weights do not forget: the mark tells the owner, who decides whether to train anew. Versions that
were made from a marked one, such as its quantised form, are marked with it.
"""

from collections.abc import Iterable
from uuid import UUID

from inference.models import ModelVersion


def mark_trained_on(
    tenant_id: UUID, data_set_versions: Iterable[UUID], reason: str, *, by: str
) -> list[ModelVersion]:
    """Mark a tenant's versions that used one of these, and their descendants.

    Returns those that were not marked before.
    """
    used = ModelVersion.objects.of(tenant_id).trained_on(data_set_versions)
    return mark(used.values_list("pk", flat=True), reason, by=by)


def mark(versions: Iterable[UUID], reason: str, *, by: str) -> list[ModelVersion]:
    """Mark versions and their descendants. Returns those that were not marked before."""
    rows = ModelVersion.objects.filter(pk__in=list(versions)).descendants()
    fresh = list(rows.filter(marked_at=None))
    for version in fresh:
        version.mark(reason, by=by)
    return fresh
