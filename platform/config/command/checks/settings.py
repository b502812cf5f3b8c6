"""The configuration: unknown names, and every value that a process would refuse.

Values are read by the processes' own code, in a separate process, which runs again without each
refused value: the first wrong value hides no other.
"""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping

from config import environment
from config.command.checks.finding import Finding, fail, ok, warn
from config.configuration import FILE
from config.configuration.variables import unknown
from inference import engine_entries

_READ = """
import os, sys
from config.supervisor import options
from config.supervisor.terminal import RunProblem
try:
    options.read()
except RunProblem as problem:
    sys.exit(str(problem))
import config.settings
import django
from django.core.exceptions import ImproperlyConfigured
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
try:
    django.setup()
except ImproperlyConfigured as problem:
    sys.exit(str(problem))
"""
_MOST = 20
_NAME = re.compile(r"(?:FOREBAY_[A-Z0-9_]+|DATABASE_URL|REDIS_URL)")
_SOME_KEY = base64.b64encode(bytes(32)).decode()


def findings() -> Iterator[Finding]:
    file = os.environ.get(FILE)
    source = f"{file} is read" if file else f"from the environment alone ({FILE} names a file)"
    yield ok("configuration", source)
    for name, suggestion in unknown(os.environ).items():
        yield warn("configuration", _nobody_reads(name, suggestion))
    wrong = list(_refused(dict(os.environ)))
    yield from (fail("configuration", line) for line in wrong)
    if not wrong:
        yield ok("configuration", "every value can be used")
        entries = engine_entries.entries(environment.engines())
        says = f"{len(entries)} in FOREBAY_ENGINES: {entries[0].engine}, …" if entries else ""
        yield ok("engines", says[:200] or "FOREBAY_ENGINES names none")


def _nobody_reads(name: str, suggestion: str) -> str:
    if suggestion:
        return f"nobody reads {name}: do you mean {suggestion}?"
    if re.search(r"_(SERVICE_(HOST|PORT)|PORT_\d+_|TCP)", name):
        return f"nobody reads {name}: set enableServiceLinks: false in the pod"
    return f"nobody reads {name}: docs/operations/configuration.md has what there is"


def _refused(variables: dict[str, str]) -> Iterator[str]:
    # A process without a key would make one, and a check must change nothing.
    for name in ("FOREBAY_MASTER_KEY", "FOREBAY_AUDIT_SIGNING_KEY", "FOREBAY_PLATFORM_SECRET"):
        if "FOREBAY_KMS_URL" not in variables or name != "FOREBAY_MASTER_KEY":
            variables.setdefault(name, _SOME_KEY)
    for _ in range(_MOST):
        line = _problem(variables)
        if not line:
            return
        yield line
        refused = [name for name in _NAME.findall(line) if name in variables]
        if not refused:
            return
        del variables[refused[0]]


def _problem(variables: Mapping[str, str]) -> str:
    """Returns the last line of a process that refuses the variables; "" if it takes them."""
    command = [sys.executable, "-P", "-c", _READ]
    process = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    lines = process.stderr.strip().splitlines() or ["it ended without a word"]
    return lines[-1] if process.returncode else ""
