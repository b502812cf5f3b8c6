"""Witnesses: places outside the database that hear each checkpoint, in order, at least once.

Whoever rewrites the database cannot take back what they have heard. A witness that is away costs
nothing but time: it hears the rest when it is back.
"""

import base64
import json
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from audit.keys import signing
from audit.models import Checkpoint, WitnessMark
from audit.trail.canonical import microseconds
from audit.verification.witnessed import Witness as Heard
from audit.witnesses import KINDS
from audit.witnesses.file import File
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
LOCK = 0x317E55  # one process at a time feeds them
AT_ONCE = 500  # checkpoints
REST = timedelta(seconds=20)  # after one did not answer
FORMAT = "forebay-checkpoint/1"


class Witness(Protocol):
    def hear(self, records: list[bytes]) -> None:
        """JSON of one checkpoint each, in order. Raises OSError or ValueError."""


def feed_all() -> None:
    for url in settings.WITNESSES:
        feed(url)


def feed(url: str) -> int:
    """Tells one witness what it has not heard yet. Answers how many checkpoints it took."""
    with scope(system=True), connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK, url])
        if not cursor.fetchone()[0]:
            return 0
        mark = WitnessMark.objects.filter(name=name_of(url)).first()
        mark = mark or WitnessMark(name=name_of(url))
        unheard = list(Checkpoint.objects.filter(n__gt=mark.n).order_by("n")[:AT_ONCE])
        if not unheard or _rests(mark):
            return 0
        return _tell(url, mark, unheard)


def _rests(mark: WitnessMark) -> bool:
    return bool(mark.problem and mark.at and datetime.now(UTC) - mark.at < REST)


def _tell(url: str, mark: WitnessMark, unheard: list[Checkpoint]) -> int:
    mark.at = datetime.now(UTC)
    try:
        witness(url).hear([record_of(_row(checkpoint)) for checkpoint in unheard])
    except (OSError, ValueError) as problem:
        log.warning("witness %s: %s", mark.name, problem)
        mark.problem = str(problem)[:300] or type(problem).__name__
        mark.save()
        return 0
    mark.n, mark.problem = unheard[-1].n, ""
    mark.save()
    return len(unheard)


def witness(url: str) -> Witness:
    """Raises ValueError for one of an unknown kind."""
    kind = urlsplit(url).scheme
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ValueError(f"FOREBAY_WITNESSES: {kind!r} is no kind of witness; known are {known}")
    found: Witness = KINDS[kind](url)
    return found


def configured() -> list[Heard]:
    """What the witnesses that are files have heard. One that is gone has lost everything."""
    with scope(system=True):
        marks = dict(WitnessMark.objects.values_list("name", "n"))
    files = [url for url in settings.WITNESSES if urlsplit(url).scheme == "file"]
    return [_kept_in(File(url).path, marks.get(name_of(url), 0)) for url in files]


def _kept_in(path: Path, told: int) -> Heard:
    return from_file(path, told) if path.exists() else Heard(str(path), [], told)


def from_file(path: Path, told: int = 0) -> Heard:
    """What it has heard by now: what comes later, whoever verifies may not see in the database.

    `told`: the last checkpoint that it must know. Raises OSError.
    """
    return Heard(str(path), _lines(path, path.stat().st_size), told)


def _lines(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size > 0 and (line := file.readline(size)):
            size -= len(line)
            yield line


def name_of(url: str) -> str:
    """It is shown: without user, password and query. What differs in these alone has two names."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{shown[:180]} #{sha256(url.encode()).hexdigest()[:8]}"


def record_of(row: Iterable[Any]) -> bytes:
    """One line of JSON. The public key goes along, where we still know it: who keeps it need not
    ask us for it later.
    """
    n, size, root, previous, at, key_id, signature = row
    key = signing.trusted().get(key_id)
    record = {
        "format": FORMAT,
        "n": n,
        "size": size,
        "root": bytes(root).hex(),
        "previous": bytes(previous).hex(),
        "at_us": microseconds(at),
        "key_id": key_id,
        "signature": base64.b64encode(signature).decode(),
        **({"public_key": base64.b64encode(key).decode()} if key else {}),
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _row(checkpoint: Checkpoint) -> tuple[Any, ...]:
    names = ("n", "size", "root", "previous", "at", "key_id", "signature")
    return tuple(getattr(checkpoint, name) for name in names)
