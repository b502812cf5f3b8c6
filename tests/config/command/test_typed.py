"""Arguments that are no text: one line that says what to do, from both ways in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.command import command_line, management_commands
from config.environment import PROJECT

pytestmark = pytest.mark.unit
FOREBAY = str(Path(sys.executable).with_name("forebay"))


@pytest.mark.parametrize(
    "line",
    [
        [FOREBAY, b"certificates", b"server", b"\xff"],
        [FOREBAY, b"models", b"show", b"\xff"],
        [FOREBAY, b"--config", b"\xff", b"version"],
        [FOREBAY, b"manage", b"create_tenant", b"\xff"],
        [sys.executable, "manage.py", b"create_tenant", b"\xff"],
    ],
)
def test_bytes_that_are_no_utf_8(line: list[str | bytes]) -> None:
    ended = subprocess.run(line, cwd=PROJECT, env=os.environ, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "is not valid UTF-8: type it again" in ended.stderr


def test_a_nul_from_a_program_that_calls_us(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["forebay", "models", "show", "a\0b"])
    with pytest.raises(SystemExit, match="2"):
        command_line.main()
    with pytest.raises(SystemExit, match="2"):
        management_commands.execute(["manage.py", "create_tenant", "a\0b"])
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["forebay", "manage.py"]
    assert all("has a NUL character: type it again" in line for line in said)


@pytest.mark.parametrize("argument", ["--help", "--port=9000"])
def test_run_starts_nothing_with_arguments_that_it_does_not_have(argument: str) -> None:
    ended = subprocess.run([FOREBAY, "run", argument], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert f"this subcommand takes no {argument!r}" in ended.stderr
