"""The formats of log lines. No key appears in them, wherever somebody put it."""

import json
import logging
from datetime import UTC, datetime

import orjson

from config.logs.naming import process_name
from inference.log_context import current
from inference.tracing import spans
from tenants import secret_keys

PRINTED = ("stdout", "stderr")
LONGEST = 16_000  # characters of a message; the last ones of a traceback, whose end says most


class WithoutKeys(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return secret_keys.hidden(super().format(record))


class AsJson(logging.Formatter):
    """One JSON object a line, whatever the record holds (docs/operations/logs.md)."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
            "process": process_name(),
            "pid": record.process,
            **_about(record),
        }
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = self.formatException(record.exc_info)[-LONGEST:]
        return secret_keys.hidden(_dumped(fields))


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{int(seconds % 1 * 1000):03}Z"


def _about(record: logging.LogRecord) -> dict[str, str]:
    """Returns the ids of the request that a line is about: its own, else the current one's."""
    if request_id := getattr(record, "request_id", None):
        return _ids(request_id, getattr(record, "tenant_id", None))
    if (request := current()) is None:
        return {}
    trace, span = spans.ids()
    return _ids(request.log_id, request.tenant_id, trace, span)


def _ids(
    request_id: object, tenant_id: object, trace_id: str = "", span_id: str = ""
) -> dict[str, str]:
    ids = {"request_id": request_id, "tenant_id": tenant_id}
    ids |= {"trace_id": trace_id, "span_id": span_id}
    return {name: str(value) for name, value in ids.items() if value}


def _dumped(fields: dict[str, object]) -> str:
    try:
        return orjson.dumps(fields).decode()
    except TypeError:  # half a character, as names of files may have
        return json.dumps(fields)


def message(line: str) -> str:
    """Returns the message of a JSON line, for a person; any other line as it is."""
    try:
        fields = orjson.loads(line)
        origin = "" if fields["logger"] in PRINTED else f"{fields['level']} {fields['logger']}: "
        return f"{origin}{fields['message']}"
    except (ValueError, LookupError, TypeError):
        return line
