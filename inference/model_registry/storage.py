"""The store in which the files of all model versions lie (FOREBAY_MODEL_STORE)."""

from functools import lru_cache

from django.conf import settings

from infrastructure.objects.content import ContentStore


def store() -> ContentStore:
    """Raises StoreError."""
    return _opened(settings.MODEL_STORE)


@lru_cache(4)
def _opened(address: str) -> ContentStore:
    return ContentStore.open(address)
