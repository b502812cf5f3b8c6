"""Room for the files of an owner: a file that stands in several versions counts once.

The platform itself has no limit.
"""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from inference.model_registry.manifest import Named
from inference.models import ModelFile, ModelVersion


class RegistryFull(Exception):
    """The tenant's versions have reached the limit. `stored` is their size in bytes."""

    def __init__(self, stored: int) -> None:
        super().__init__(stored)
        self.stored = stored


def stored_bytes(tenant_id: UUID | None) -> int:
    """Returns the bytes of all files of an owner, in its scope."""
    rows = _files(tenant_id).order_by().values("sha256", "size").distinct()
    return sum(row["size"] for row in rows)


def check(tenant_id: UUID | None, files: Iterable[Named]) -> None:
    """Check for room under the owner's lock (`lock_registry`). Raises RegistryFull."""
    if tenant_id is None:
        return
    known = set(_files(tenant_id).values_list("sha256", flat=True))
    new = {file.sha256: file.size for file in files if file.sha256 not in known}
    stored = stored_bytes(tenant_id)
    if stored + sum(new.values()) > settings.TENANT_MODELS_BYTES:
        raise RegistryFull(stored)


def remaining(tenant_id: UUID | None) -> int:
    """Returns the bytes that an import may still bring, in the owner's scope."""
    if tenant_id is None:
        return int(settings.MODEL_COPIES_BYTES)
    return max(0, int(settings.TENANT_MODELS_BYTES) - stored_bytes(tenant_id))


def _files(tenant_id: UUID | None) -> QuerySet[ModelFile]:
    present = ModelVersion.objects.of(tenant_id).present()
    return ModelFile.objects.filter(tenant=tenant_id, version__in=present)
