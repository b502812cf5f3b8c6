"""The formats of log lines, and the name of a process in them.

No key appears in them, wherever somebody put it.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import orjson

from inference.log_context import current
from inference.tracing import spans
from tenants import secret_keys

NAME = "FOREBAY_PROCESS_NAME"  # the supervisor sets it
SERVERS = ("web", "grpc", "worker", "jobs", "beat", "supervisor", "run")
PRINTED = ("stdout", "stderr")
LONGEST = 16_000  # characters of a message; the last ones of a traceback, whose end says most


class WithoutKeys(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return secret_keys.hidden(super().format(record))


class AsJson(logging.Formatter):
    """One JSON object a line, whatever the record holds (docs/operations/logs.md)."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.created % 1 * 1000):03}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
            "process": process_name(),
            "pid": record.process,
            **_about(record),
        }
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = self.formatException(record.exc_info)[-LONGEST:]
        try:
            text = orjson.dumps(fields).decode()
        except TypeError:  # half a character, as names of files may have
            text = json.dumps(fields)
        return secret_keys.hidden(text)


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


def message(line: str) -> str:
    """Returns the message of a JSON line, for a person; any other line as it is."""
    try:
        fields = orjson.loads(line)
        origin = "" if fields["logger"] in PRINTED else f"{fields['level']} {fields['logger']}: "
        return f"{origin}{fields['message']}"
    except (ValueError, LookupError, TypeError):
        return line


@cache
def process_name() -> str:
    return os.environ.get(NAME) or started_as(sys.argv)


def is_a_server() -> bool:
    """Returns whether all that it prints is log. A command prints its answer."""
    return bool(os.environ.get(NAME)) or started_as(sys.argv) in SERVERS


def started_as(command: list[str]) -> str:
    """Returns a process's role from its command line.

    `python -m config.web_server` is web, `celery … worker -Q jobs` is jobs, and `manage.py migrate`
    is migrate.
    """
    program, *words = command or [""]
    stem = Path(program).stem
    if "celery" in program:
        role = next((word for word in words if word in ("worker", "beat")), "celery")
        return "jobs" if role == "worker" and "jobs" in words else role
    if stem in ("manage", "forebay", "forebay manage"):
        return next((word for word in words if not word.startswith("-")), stem)
    if stem == "__main__":
        stem = Path(program).parent.name
    return stem.removesuffix("_server") or "python"
