"""Follows the trainer's events: a JSON object a line in `output/events.jsonl`."""

import os
from pathlib import Path
from typing import Any

import orjson

NAME = "events.jsonl"
MOST = 4 << 20  # bytes read at once
Event = dict[str, Any]


class EventsFile:
    """Reads what has been added since the last call. A file that was replaced begins anew."""

    def __init__(self, folder: Path) -> None:
        self._path, self._inode, self._offset = folder / NAME, 0, 0

    def read(self) -> list[Event]:
        """Returns the new events, of whole lines alone. What is no event is left out."""
        try:
            with self._path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._inode or facts.st_size < self._offset:
                    self._inode, self._offset = facts.st_ino, 0
                file.seek(self._offset)
                piece = file.read(MOST)
        except FileNotFoundError:
            return []
        whole = piece[: piece.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := _event(line))]


def _event(line: bytes) -> Event | None:
    try:
        # The trainer writes NaN, which is no JSON: a loss that is none.
        event = orjson.loads(line.replace(b"NaN", b"null").replace(b"Infinity", b"null"))
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None
