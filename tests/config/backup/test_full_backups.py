"""Which backups pgBackRest is told to make: increments alone would never be let go of."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from config.backup.kinds.pgbackrest import PgBackRest

pytestmark = pytest.mark.unit
DAY_S = 24 * 3600


class Played:
    """A pgBackRest that knows these backups, and remembers how it was called."""

    def __init__(self, folder: Path) -> None:
        self._calls, self._info = folder / "calls", folder / "info.json"
        program = folder / "pgbackrest"
        program.write_text(
            f'#!/bin/sh\necho "$@" >>{self._calls}\ncase "$*" in *info) cat {self._info};; esac\n'
        )
        program.chmod(0o755)

    def has(self, *backups: dict[str, Any]) -> None:
        rows = [
            {"label": "x", "info": {"size": 1, "repository": {"delta": 1}}, **each}
            for each in backups
        ]
        self._info.write_text(json.dumps([{"backup": rows, "db": [{"version": "17"}]}]))

    def made(self) -> str:
        """Returns the type of the backup that was made last."""
        (line,) = [line for line in self._calls.read_text().splitlines() if "info" not in line]
        self._calls.unlink()
        return next(word for word in line.split() if word.startswith("--type="))


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # not by way of the user postgres
    return Played(tmp_path)


def a_backup(kind: str, days_ago: float, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": {"stop": time.time() - days_ago * DAY_S}, **fields}


def test_a_full_backup_is_made_where_the_last_is_a_week_old(played: Played) -> None:
    old, young = a_backup("full", 6.9), a_backup("full", 5.9)
    night = a_backup("incr", 0.9)
    failed = a_backup("full", 0.5, error=True)
    for backups, kind in (
        ((old, night), "full"),
        ((old, night, failed), "full"),
        ((old, young, night), "incr"),
    ):
        played.has(*backups)
        PgBackRest("main").take()
        assert played.made() == f"--type={kind}"
