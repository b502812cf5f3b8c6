"""Commands of a plan, and a drill that is stopped while one of them runs."""

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from config.drills.installation import RealInstallation
from config.drills.patroni import Cluster
from config.drills.plan import Patroni, Plan, Step
from config.drills.procedure import Unhealthy
from config.drills.undoing import Undoing
from console.compliance.drills.kinds import KINDS

pytestmark = pytest.mark.unit
KIND = KINDS["cut_primary"]


@pytest.fixture(autouse=True)
def primary(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"name": "a1", "host": "10.1.0.11", "zone": "a"}
    monkeypatch.setattr(Cluster, "values", lambda self: values)


def installation(folder: Path, *breaks: str) -> RealInstallation:
    """Returns one in which each break is Python's, and `broken` is removed to undo all."""
    remove = f"import pathlib; pathlib.Path({str(folder / 'broken')!r}).unlink(missing_ok=True)"
    step = Step(break_=[words(each) for each in breaks], undo=[words(remove)])
    plan = Plan("zones", "mock", ["http://x"], Patroni(urls=["http://x"]), kinds={KIND.name: step})
    return RealInstallation(plan, cast(Any, None), folder)


def words(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def breaking(folder: Path) -> str:
    return f"open({str(folder / 'broken')!r}, 'w')"


async def test_a_drill_that_is_stopped_while_it_breaks_something_undoes_it(tmp_path: Path) -> None:
    """The command that runs ends first, no other one follows it, and then all is undone."""
    begun, second = tmp_path / "begun", tmp_path / "second"
    slow = f"open({str(begun)!r}, 'w'); import time; time.sleep(1); {breaking(tmp_path)}"
    real = installation(tmp_path, slow, f"open({str(second)!r}, 'w')")
    task = asyncio.create_task(real.break_(KIND))
    while not begun.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await real.undo(KIND)
    await asyncio.get_running_loop().shutdown_default_executor()  # whatever still runs ends
    assert not (tmp_path / "broken").exists()
    assert not second.exists()
    assert not Undoing(tmp_path).is_open


async def test_a_break_that_fails_half_way_is_undone(tmp_path: Path) -> None:
    real = installation(tmp_path, breaking(tmp_path), "raise SystemExit(3)")
    with pytest.raises(Unhealthy, match="exit code 3"):
        await real.break_(KIND)
    assert (tmp_path / "broken").exists()
    assert Undoing(tmp_path).is_open
    await real.undo(KIND)
    assert not (tmp_path / "broken").exists()
