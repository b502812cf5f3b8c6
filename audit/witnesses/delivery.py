"""Delivers each checkpoint to witnesses outside the database, in order, at least once.

Somebody who rewrites the database cannot take back what witnesses have received. A witness that is
unreachable receives the rest when it is back.
"""

import base64
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from audit.keys import signing
from audit.models import Checkpoint, WitnessMark
from audit.proof.chain import checkpoint_fields
from audit.verification.witness_lines import Witness as ReceivedLines
from audit.witnesses import KINDS
from audit.witnesses.file import path_of
from infrastructure.postgres.queries import rows, value
from infrastructure.postgres.resilient_connection import WAIT_FOR_STANDBYS
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
LOCK = 0x317E55  # one process at a time delivers
AT_ONCE = 500  # checkpoints
REST = timedelta(seconds=20)  # after a failed delivery
FORMAT = "forebay-checkpoint/1"


def feed_all() -> None:
    """Deliver new checkpoints to every witness.

    A server that has crashed shows, once it is back, commits that no standby has. If it were lost
    then, the next one would seal anew what witnesses know already.
    """
    if settings.WITNESSES:
        with scope(system=True):
            rows(WAIT_FOR_STANDBYS)
    for url in settings.WITNESSES:
        feed(url)


def feed(url: str) -> int:
    """Delivers new checkpoints to one witness. Returns how many it accepted."""
    with scope(system=True):
        if not value("select pg_try_advisory_xact_lock(%s, hashtext(%s))", [LOCK, url]):
            return 0
        mark = WitnessMark.objects.filter(name=name_of(url)).first()
        mark = mark or WitnessMark(name=name_of(url))
        undelivered = list(Checkpoint.objects.filter(n__gt=mark.n).order_by("n")[:AT_ONCE])
        rests = mark.problem and mark.at and datetime.now(UTC) - mark.at < REST
        return _deliver(url, mark, undelivered) if undelivered and not rests else 0


def _deliver(url: str, mark: WitnessMark, undelivered: list[Checkpoint]) -> int:
    mark.at = datetime.now(UTC)
    try:
        tell(url, [record_of(checkpoint) for checkpoint in undelivered])
    except (OSError, ValueError) as problem:
        log.warning("witness %s: %s", mark.name, problem)
        mark.problem = str(problem)[:300] or type(problem).__name__
        mark.save()
        return 0
    mark.n, mark.problem = undelivered[-1].n, ""
    mark.save()
    return len(undelivered)


def tell(url: str, records: list[bytes]) -> None:
    """Sends checkpoints to a witness. Raises OSError; ValueError, as for an unknown kind."""
    kind = urlsplit(url).scheme
    if kind not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ValueError(f"FOREBAY_WITNESSES: {kind!r} is no kind of witness; known are {known}")
    KINDS[kind](url, records)


def configured() -> list[ReceivedLines]:
    """Returns the lines of file witnesses. A missing file has lost everything."""
    with scope(system=True):
        marks = dict(WitnessMark.objects.values_list("name", "n"))
    files = [url for url in settings.WITNESSES if urlsplit(url).scheme == "file"]
    received = []
    for url in files:
        path, delivered = path_of(url), marks.get(name_of(url), 0)
        lost = ReceivedLines(str(path), [], delivered)
        received.append(from_file(path, delivered) if path.exists() else lost)
    return received


def from_file(path: Path, delivered: int = 0) -> ReceivedLines:
    """Returns a file's present lines. A verification's snapshot of the database may lack later
    ones.

    `delivered`: the last checkpoint that it must know. Raises OSError.
    """
    return ReceivedLines(str(path), _lines(path, path.stat().st_size), delivered)


def _lines(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while size > 0 and (line := file.readline(size)):
            size -= len(line)
            yield line


def name_of(url: str) -> str:
    """Returns a name to show, without user, password and query.

    A hash distinguishes URLs that differ only in these.
    """
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{shown[:180]} #{sha256(url.encode()).hexdigest()[:8]}"


def record_of(checkpoint: Checkpoint) -> bytes:
    """Returns one line of JSON.

    It includes the public key, if we still know it, so that a witness need not ask for it later.
    """
    record = {"format": FORMAT, **checkpoint_fields(checkpoint)}
    if key := signing.trusted().get(checkpoint.key_id):
        record["public_key"] = base64.b64encode(key).decode()
    return json.dumps(record, separators=(",", ":")).encode()
