"""The page on automation: its commands do what it says, typed as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pytest_django.live_server_helper import LiveServer

from config.command.command_line import SUBCOMMANDS
from config.environment import PROJECT
from inference.models import Engine, Model, Pool
from tenants.models import OperatorKey, Price, Tenant
from tenants.operator_scopes import OperatorScope
from tests.config.command.operating.conftest import Forebay
from tests.docs.blocks import of_text

PAGE = (PROJECT / "docs/operations/automation.md").read_text()


@pytest.mark.slow(seconds=30)
def test_the_commands_of_the_page_work_as_they_are_typed(
    key: OperatorKey, live_server: LiveServer
) -> None:
    """Each in a shell of its own, over a real connection."""
    tenant = Tenant.open("acme", by="test")
    commands = [each.text for each in of_text("page", PAGE) if not each.text.startswith("export")]
    assert len(commands) > 15
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "URL": live_server.url,
        "OPERATOR_KEY": os.environ["FOREBAY_OPERATOR_KEY"],
    }
    printed = {}
    for line in commands:
        shell = ["sh", "-c", line.replace("curl ", "curl --silent --show-error --fail ", 1)]
        ended = subprocess.run(shell, env={**os.environ, **variables}, capture_output=True)
        assert ended.returncode == 0, f"{line}: {ended.stderr.decode()}"
        printed[line] = ended.stdout.decode()
    dry = next(text for line, text in printed.items() if "--dry-run" in line)
    assert dry == "engine gpu-1: would be changed (slots: 64 -> 128)\n"
    tenant.refresh_from_db()
    assert tenant.requests_per_minute == 600
    assert Price.objects.get().model == "deepseek-r1"
    assert not [table for table in (Model, Pool, Engine) if table.objects.exists()]


def test_the_task_for_ansible_says_whether_something_has_changed(
    forebay: Forebay, key: OperatorKey
) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.S | re.M)
    (task,) = yaml.safe_load(block)
    line = task["ansible.builtin.command"].removeprefix("forebay ")
    assert set(task["environment"]) == {"FOREBAY_URL", "FOREBAY_OPERATOR_KEY"}
    assert task["changed_when"] == f"({task['register']}.stdout | from_json).changed"
    forebay("models set deepseek-r1")
    forebay("pools set here --model deepseek-r1")
    assert [json.loads(forebay(line).out)["changed"] for _ in range(2)] == [True, False]


@pytest.mark.unit
def test_the_page_names_every_scope_and_every_command() -> None:
    for scope in OperatorScope:
        assert f"`{scope}`" in PAGE
    for name, each in SUBCOMMANDS.items():
        assert (f"| `forebay {name}` |" in PAGE) == (".operating." in each.module), name
