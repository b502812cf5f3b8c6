"""Versions whose files are not in the store: no backup of the database contains them."""

from functools import cache

from inference.model_registry.storage import store
from inference.models import ModelVersion


def without_files() -> list[ModelVersion]:
    """Returns the ready versions of which a file is missing, in the system's scope.

    Raises StoreError.
    """

    @cache
    def stored(owner: str) -> frozenset[str]:
        return frozenset(each.sha256 for each in store().stored(owner))

    return [
        version
        for version in ModelVersion.objects.ready().prefetch_related("files")
        if not stored(version.owner).issuperset(file.sha256 for file in version.files.all())
    ]
