"""Decrypts the texts of requests and answers.

The apps that write payloads know their form; each registers a reader for its fields.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import Length

from audit.keys.keyring import Unreadable, keyring
from audit.models import Payload

T = TypeVar("T")
PORTION = 32 * 1024 * 1024  # bytes of texts that are in memory at once


class DecryptedText(NamedTuple):
    text: str
    client_ip: str = ""  # the full address; the trail itself has its network only


Reader = Callable[[bytes], DecryptedText]
# Returns field, time and text of what else belongs to a request of a tenant; None: erased.
Addition = Callable[[UUID, UUID], Iterable[tuple[str, datetime, DecryptedText | None]]]
_readers: dict[str, Reader] = {}
additions: list[Addition] = []  # registered by the apps, as readers are


def register_reader(field: str, reader: Reader) -> None:
    _readers[field] = reader


def aad(tenant_id: UUID, request_id: UUID, field: str) -> bytes:
    """Returns the additional data that a payload's ciphertext is bound to."""
    return b"audit_payload|%b|%b|%b" % (tenant_id.bytes, request_id.bytes, field.encode())


def portions(
    rows: Sequence[T], request_of: Callable[[T], UUID | None], most: int | None = None
) -> Iterator[list[T]]:
    """Yields rows in groups whose requests have `most` bytes of texts together, or one row.

    `most` is PORTION by default. A text may have some MiB, so a number of rows bounds no memory.
    """
    requests = [request_of(row) for row in rows]
    size_of = _sizes({request for request in requests if request})
    group, total = list[T](), 0
    for row, request in zip(rows, requests, strict=True):
        size = size_of.get(request, 0) if request else 0
        if group and total + size > (most or PORTION):
            yield group
            group, total = [], 0
        group.append(row)
        total += size
    if group:
        yield group


def _sizes(request_ids: Collection[UUID]) -> dict[UUID, int]:
    rows = Payload.objects.filter(request_id__in=request_ids).values("request_id")
    sums = rows.annotate(size=Sum(Length("ciphertext")))
    return dict(sums.values_list("request_id", "size"))


def decrypted(payload: Payload) -> DecryptedText | None:
    """Returns the text, or None if its key was destroyed or it was not encrypted here."""
    bound_to = aad(payload.tenant_id, payload.request_id, payload.field)
    try:
        clear = keyring.by_id_now(payload.data_key_id).decrypt(bytes(payload.ciphertext), bound_to)
    except Unreadable:
        return None
    return read(payload.field, clear)


def read(field: str, clear: bytes) -> DecryptedText:
    reader = _readers.get(field)
    return reader(clear) if reader else DecryptedText(clear.decode(errors="replace"))
