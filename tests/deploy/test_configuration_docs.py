"""docs/operations/configuration.md has every variable that the code reads, and no other."""

import re
import subprocess

import pytest

from config.command.command_line import SUBCOMMANDS
from config.configuration.variables import KNOWN, PUBLIC, SECRETS
from config.environment import PROJECT

pytestmark = pytest.mark.unit
DOCS = PROJECT / "docs" / "operations"
# Built from parts in the code, or of tests.
_PREFIXES = {"FOREBAY_TEST", "FOREBAY_BATCH", "FOREBAY_GRPC", "FOREBAY_KMS", "FOREBAY_TLS"}


def test_the_table_has_each_variable_once() -> None:
    text = (DOCS / "configuration.md").read_text()
    table = text.partition("## Every variable")[2]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", table, re.M)
    named = [name for row in rows for name in re.findall(r"\w+", row)]
    assert sorted(named) == sorted(PUBLIC)
    listed = text.partition("## Secrets as files")[2].partition(":\n")[2].partition(".\n")[0]
    assert re.findall(r"`(\w+)`", listed) == list(SECRETS)


def test_every_variable_that_the_code_names_is_known() -> None:
    told = subprocess.run(
        ["git", "grep", "-hoE", "(FOREBAY_[A-Z0-9_]+)", "--", "platform", "tenants", "inference"]
        + ["audit"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = {name.rstrip("_") for name in told.stdout.split()}
    assert named - KNOWN - _PREFIXES == {"FOREBAY"} & named


def test_the_guide_names_every_subcommand() -> None:
    text = (DOCS / "install.md").read_text()
    assert [name for name in SUBCOMMANDS if f"`forebay {name}" not in text] == []
