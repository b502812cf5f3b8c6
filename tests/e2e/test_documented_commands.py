"""Commands of README and docs, typed as they stand there, on one running platform.

Only what a reader would put in themselves is put in: an address, a key, a name. The commands are
those that tests/docs/covered.py has as RUN.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.docs.blocks import Command, commands
from tests.docs.covered import RUN, how
from tests.e2e.conftest import Platform

pytestmark = pytest.mark.e2e
# Its own key, by what was created before; and the names that runbooks leave open.
_NAMES = {"ENGINE": "smollm2-135m", "NAME": "acme", "HOST": "127.0.0.1"}
_MANAGE = re.compile(
    r"make (?:-s )?manage ARGS='(?P<make>.*)'|(?:forebay manage|\S+ manage\.py) (?P<typed>.*)"
)
_WALK = "isolation --caller 'key inference'"  # the shortest; tests/isolation walks as the others
_FULL = bool(os.environ.get("FOREBAY_TEST_ISOLATION"))  # `make soak`: all callers


class Reader:
    """Types one command after the other, in a folder of their own."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._platform, self._folder = platform, folder
        self._key = platform.key

    def types(self, command: Command) -> None:
        if command.text == "make isolation":
            self._manages("isolation" if _FULL else _WALK)
        elif found := _MANAGE.fullmatch(command.text):
            self._manages(found["make"] or found["typed"])
        elif command.program == "psql" and not shutil.which(command.program):
            return
        else:
            self._in_a_shell(command)

    def _manages(self, arguments: str) -> None:
        """In one process for all of them, where their start costs more than they do."""
        if arguments.startswith("seal_secret"):  # it reads standard input
            line = ["sh", "-c", f"echo secret | .venv/bin/python manage.py {arguments}"]
            assert subprocess.run(line, cwd=PROJECT, env=self._platform.env).returncode == 0
            return
        words = [_NAMES.get(word, word) for word in shlex.split(arguments)]
        words = [str(self._folder / word) if word.endswith(".html") else word for word in words]
        printed = self._platform.manage(*words)
        if words[0] == "create_api_key":
            self._key = json.loads(printed)["api_key"] if "--json" in words else self._key

    def _in_a_shell(self, command: Command) -> None:
        line = re.sub(r"http://(127\.0\.0\.1|HOST):8000", self._platform.url, command.text)
        line = line.replace("sk-fb-…", self._key)
        running = self._platform.running()
        told = {"URL": self._platform.url, "KEY": self._platform.key}
        told |= {name: running[name] for name in ("DATABASE_URL", "REDIS_URL")}
        if command.program == "curl":
            line = line.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        where = PROJECT / Path(command.page).parent
        ended = subprocess.run(
            ["sh", "-c", line],
            cwd=where,
            env={**self._platform.env, **told},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout} {ended.stderr}"


def prepare(platform: Platform) -> None:
    """What a reader has by then: the demo tenant, and a template in the console."""
    tenants = json.loads(platform.manage("first_run", "--json"))
    if not tenants["demo_tenant"]:
        platform.manage("create_tenant", "demo")
    scope = ("--scope", "management:write", "--json")
    key = json.loads(platform.manage("create_api_key", "bench", "--name", "docs", *scope))
    template = {
        "name": "greeting",
        "messages": [{"role": "user", "content": "Greet {{ who }}."}],
        "variables": [{"name": "who"}],
    }
    request = urllib.request.Request(
        f"{platform.url}/api/v1/tenants/bench/templates/",
        json.dumps(template).encode(),
        {"Authorization": f"Bearer {key['api_key']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201


def documented() -> list[Command]:
    """Each once, those of the README first: others go on from there."""
    runs = [each for each in commands() if how(each.text) == RUN]
    first = {each.text: each for each in reversed(runs)}
    return [each for each in runs if first[each.text] is each]


@pytest.mark.slow(seconds=90)
@pytest.mark.timeout(900)
def test_documented_commands_do_what_they_say(real: Platform, tmp_path: Path) -> None:
    prepare(real)
    reader = Reader(real, tmp_path)
    for command in documented():
        reader.types(command)
    assert (tmp_path / "report.html").stat().st_size > 0


def test_make_passes_a_commands_words_on_as_they_are_typed(real: Platform) -> None:
    """Through make, and two shells."""
    line = "make -s manage ARGS='create_tenant by-make --tier vip --admin a@example.com --json'"
    made = line.replace("make -s", "make -s -o .venv/.base")  # nothing is installed by a test
    ended = subprocess.run(["sh", "-c", made], cwd=PROJECT, env=real.env, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    assert json.loads(ended.stdout)["tenant"]["tier"] == "vip"
