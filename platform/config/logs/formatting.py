"""What becomes a line of a log: never a key, wherever somebody put it."""

import json
import logging
from datetime import UTC, datetime

import orjson

from config.logs.naming import process_name
from inference.log_context import current
from inference.tracing import spans
from tenants import secret_keys

PRINTED = ("stdout", "stderr")
LONGEST = 16_000  # characters of a message; of a traceback, whose end says most, the last ones


class WithoutKeys(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return secret_keys.hidden(super().format(record))


class AsJson(logging.Formatter):
    """One object a line, whatever the record holds (docs/operations/logs.md)."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
            "process": process_name(),
            "pid": record.process,
            **_about(record),
        }
        if record.exc_info and record.exc_info[0]:
            told["exception"] = self.formatException(record.exc_info)[-LONGEST:]
        return secret_keys.hidden(_dumped(told))


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1000):03}Z"


def _about(record: logging.LogRecord) -> dict[str, str]:
    """The request that the line is about: as it says itself, else the one that is worked for."""
    if told := getattr(record, "request_id", None):
        return _told(told, getattr(record, "tenant_id", None))
    if (request := current()) is None:
        return {}
    trace, span = spans.ids()
    return _told(request.log_id, request.tenant_id, trace, span)


def _told(
    request_id: object, tenant_id: object, trace_id: str = "", span_id: str = ""
) -> dict[str, str]:
    found = {"request_id": request_id, "tenant_id": tenant_id}
    found |= {"trace_id": trace_id, "span_id": span_id}
    return {name: str(value) for name, value in found.items() if value}


def _dumped(told: dict[str, object]) -> str:
    try:
        return orjson.dumps(told).decode()
    except TypeError:  # half a character, as names of files may have
        return json.dumps(told)


def message(line: str) -> str:
    """Of a line in JSON what it says, for a person; any other line as it is."""
    try:
        told = orjson.loads(line)
        where = "" if told["logger"] in PRINTED else f"{told['level']} {told['logger']}: "
        return f"{where}{told['message']}"
    except (ValueError, LookupError, TypeError):
        return line
