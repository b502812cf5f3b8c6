"""A line of a log in JSON, whatever is logged or printed."""

import json
import logging
import subprocess
import sys
from contextvars import copy_context
from typing import Any
from uuid import uuid4

import pytest

from config.environment import PROJECT
from config.logs.formatting import LONGEST, AsJson, message, started_as
from inference.log_context import about, working_for
from tenants import secret_keys
from tests.fresh_start import started

pytestmark = pytest.mark.unit
USUAL = {"time", "level", "logger", "message", "process", "pid"}


def line(text: str, *given: object, **more: Any) -> dict[str, Any]:
    extra = more.pop("extra", {})
    record = logging.LogRecord("inference.x", logging.WARNING, "", 0, text, given, **more)
    record.__dict__ |= extra
    written = AsJson().format(record)
    assert "\n" not in written
    found: dict[str, Any] = json.loads(written)
    return found


def test_a_line_has_its_time_and_its_place() -> None:
    found = line("engine %s\nis away", "mock", exc_info=None)
    assert found.keys() == USUAL
    assert found["message"] == "engine mock\nis away"
    assert (found["level"], found["logger"]) == ("WARNING", "inference.x")
    assert found["time"][10] == "T"
    assert len(found["time"]) == len("2026-11-27T05:17:10.123Z")


def test_a_line_names_the_request_that_its_task_works_for() -> None:
    tenant, other_tenant = uuid4(), uuid4()
    with working_for("one", tenant):
        started = copy_context()  # of what it starts, and what may outlive it
        found = line("slow", exc_info=None)
        other = line("lost", exc_info=None, extra=about("two", other_tenant))
    assert (found["request_id"], found["tenant_id"]) == ("one", str(tenant))
    assert (other["request_id"], other["tenant_id"]) == ("two", str(other_tenant))
    assert started.run(line, "later", exc_info=None).keys() == USUAL


def test_an_exception_is_one_field_and_is_bounded() -> None:
    try:
        raise ValueError("y" * 2 * LONGEST)
    except ValueError:
        found = line("x" * 2 * LONGEST, exc_info=sys.exc_info())
    assert len(found["message"]) == len(found["exception"]) == LONGEST


@pytest.mark.parametrize("odd", ["\udc80 no character", "\x00\x1b[31m\u2028", '"}{', "中文"])
def test_odd_characters_are_a_line_too(odd: str) -> None:
    assert line("%s", odd, exc_info=None)["message"] == odd


def test_no_key_is_in_a_line() -> None:
    key = secret_keys.mint().text
    assert key not in str(line("asked with %s", key, exc_info=None))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/x/config/web_server.py"], "web"),
        (["/x/config/grpc_server.py"], "grpc"),
        (["/x/celery/__main__.py", "-A", "config", "worker", "-Q", "engine.a"], "worker"),
        (["/x/bin/celery", "-A", "config", "worker", "-Q", "jobs"], "jobs"),
        (["/x/celery/__main__.py", "-A", "config", "beat"], "beat"),
        (["manage.py", "--traceback", "migrate"], "migrate"),
        (["/x/bin/forebay", "web"], "web"),
        (["/x/config/supervisor/__main__.py"], "supervisor"),
        ([], "python"),
    ],
)
def test_a_process_is_named_by_its_command(command: list[str], name: str) -> None:
    assert started_as(command) == name


def test_a_person_reads_what_a_line_says() -> None:
    assert message('{"level": "ERROR", "logger": "a", "message": "b"}') == "ERROR a: b"
    assert message("not JSON") == "not JSON"
    assert message('"{"') == '"{"'


PRINTS = """
import config.settings, logging, sys, threading, warnings
print("a banner\\n\\nof two lines")
warnings.warn("a warning")
sys.stderr.write("half ")
sys.stderr.write("a line\\n")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
"""


def printed(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    variables = {"FOREBAY_LOG_FORMAT": "json", "FOREBAY_PROCESS_NAME": "web.2", **variables}
    return started(program, **variables)


def test_what_a_server_prints_is_a_line_each() -> None:
    ended = printed(f"{PRINTS}\nraise ValueError('the end')", FOREBAY_PROCESS_NAME="")
    assert "a banner" in ended.stdout.splitlines()  # of a command: its answer
    ended = printed(f"import os; os.dup2(2, 1)\n{PRINTS}\nraise ValueError('the end')")
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    told = [(line["logger"], line["message"]) for line in lines]
    assert ("stdout", "a banner") in told
    assert ("stderr", "half a line") in told
    assert {line["process"] for line in lines} == {"web.2"}
    thread, end = lines[-2:]
    assert "ZeroDivisionError" in thread["exception"]
    assert "ValueError: the end" in end["exception"]
    assert [line["level"] for line in (thread, end)] == ["CRITICAL", "CRITICAL"]


def test_the_last_words_of_a_server_that_cannot_start_are_a_line() -> None:
    ended = printed("import config.settings", FOREBAY_MFA="maybe")
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert line["message"] == "FOREBAY_MFA must be required or optional, not 'maybe'"
    assert ended.returncode == 1


def test_a_supervisor_with_a_wrong_format_does_not_start() -> None:
    command = [sys.executable, "-m", "config.supervisor"]
    environment = {"PATH": "", "PYTHONPATH": ":".join(sys.path), "FOREBAY_LOG_FORMAT": "xml"}
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr == "FOREBAY_LOG_FORMAT must be text or json, not 'xml'\n"


def test_a_strange_host_fills_no_log_with_tracebacks() -> None:
    """In a process of its own: pytest gives every logger a handler."""
    ask = """
import django
django.setup()
from django.test import Client
print(Client().get("/login/", headers={"host": "elsewhere.example"}).status_code)"""
    ended = started(ask, DJANGO_SETTINGS_MODULE="config.settings")
    assert ended.stdout == "400\n", ended.stderr
    assert "Traceback" not in ended.stderr
    assert "ALLOWED_HOSTS" not in ended.stderr
