"""`forebay trainer`: the environment of what trains."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.command.command_line import subcommand

trainer = subcommand("trainer")
pytestmark = pytest.mark.unit


def test_it_installs_with_the_script_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    assert trainer(["install", str(tmp_path / "here")]) == 0
    ((shell, script, _python, folder),) = ran
    assert (shell, folder) == ("sh", str(tmp_path / "here"))
    assert Path(script).read_text().startswith("#!/bin/sh")
    assert f"FOREBAY_TRAINER_PYTHON={tmp_path}/here/bin/python" in capsys.readouterr().out


def test_without_it_the_check_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOREBAY_TRAINER_PYTHON", str(tmp_path / "none"))
    assert trainer(["check"]) == 1
    assert "forebay trainer install" in capsys.readouterr().err


@pytest.mark.parametrize("typed", [[], ["install", "a", "b"], ["remove"]])
def test_other_words_are_refused(typed: list[str]) -> None:
    assert trainer(typed) == 2
