"""Verification of an export where it was made, with the verifier that auditors run themselves.

The file stays encrypted on disk: its lines are decrypted as the verifier reads them. What this
proves is less than a verification elsewhere, because whoever controls the platform controls this.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from audit.exports import export_file, trail_export
from audit.keys import signing
from audit.models import Export
from audit.offline.forebay_verify import KNOWN, Broken, Result, verify_export
from audit.witnesses import excerpt

SHOWN = 20  # findings; all are counted


class DecryptedLines:
    """An export, or lines of a witness, as the verifier opens a file."""

    def __init__(self, pieces: Callable[[], Iterable[bytes]]) -> None:
        self._pieces = pieces

    @contextmanager
    def open(self, mode: Literal["rb"]) -> Iterator[Iterable[bytes]]:
        yield _lines(self._pieces())


def verified(export: Export) -> dict[str, Any]:
    """Returns what the verification of an export says, as JSON-compatible values.

    `witnessed` is None where this process can read no witness file.
    """
    witnesses, keys = _witnesses(export), [*signing.trusted().values()]
    try:
        lines = DecryptedLines(lambda: export_file.decrypted(export))
        result = verify_export(lines, keys, witnesses)
    except Broken as problem:
        result = Result()
        result.add(str(problem))
    return _outcome(result, witnessed=bool(witnesses))


def witness_lines(export: Export) -> Iterator[bytes]:
    """Yields what the file witness heard of an export's time; nothing without such a file."""
    if path := excerpt.readable_file():
        filters = trail_export.filters_of(export.asked)
        since = filters.since or datetime(1970, 1, 1, tzinfo=UTC)
        until = filters.until or datetime.fromisoformat(export.asked["up_to"])
        numbers = excerpt.checkpoints_of(export.tenant_id, since, until)
        yield from excerpt.lines_of(path, numbers)


def _witnesses(export: Export) -> list[DecryptedLines]:
    if excerpt.readable_file() is None:
        return []
    return [DecryptedLines(lambda: witness_lines(export))]


def _outcome(result: Result, *, witnessed: bool) -> dict[str, Any]:
    figures = result.figures
    return {
        "ok": result.ok,
        "events": figures.get("events", 0),
        "checkpoints": figures.get("checkpoints", 0),
        "witnessed": figures.get(KNOWN, 0) if witnessed else None,
        "found": len(result.findings),
        "findings": result.findings[:SHOWN],
    }


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest
