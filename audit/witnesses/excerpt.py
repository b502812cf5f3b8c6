"""The lines of a file witness that the verification of one tenant's export needs."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from audit.models import Seal
from audit.witnesses.file import path_of

PIECE_BYTES = 256 * 1024


def readable_file() -> Path | None:
    """Returns the first file witness that this process can read."""
    paths = [path_of(url) for url in settings.WITNESSES if urlsplit(url).scheme == "file"]
    return next((path for path in paths if path.is_file()), None)


def checkpoints_of(tenant_id: UUID, since: datetime, until: datetime) -> set[int]:
    """Returns the numbers of the checkpoints over a tenant's batches of a time.

    An export has a batch on either side of its time too, so two are added there.
    """
    seals = Seal.objects.filter(tenant_id=tenant_id)
    within = seals.filter(last_at__gte=since, first_at__lt=until)
    before = seals.filter(last_at__lt=since).order_by("-batch")[:2]
    after = seals.filter(first_at__gte=until).order_by("batch")[:2]
    numbers = (rows.values_list("checkpoint", flat=True) for rows in (within, before, after))
    return {number for some in numbers for number in some}


def lines_of(path: Path, numbers: set[int]) -> Iterator[bytes]:
    """Yields these checkpoints as the witness wrote them, in pieces. Broken lines are left out."""
    piece = b""
    with path.open("rb") as file:
        for line in file:
            if _number(line) in numbers:
                piece += line
            if len(piece) > PIECE_BYTES:
                yield piece
                piece = b""
    yield piece


def _number(line: bytes) -> int:
    """Returns the number of a line's checkpoint, 0 for one that was cut off."""
    try:
        return int(json.loads(line)["n"])
    except (ValueError, KeyError, TypeError):
        return 0
