"""Which figures of backups there are; each alert looks at those that are there."""

from pathlib import Path

import pytest

from config.metrics import backups
from console.backups.record import Verified

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.environment.HOME", tmp_path)
    backups.forget()
    return tmp_path


def names() -> set[str]:
    metrics = (metric for gauge in backups.GAUGES for metric in gauge.collect())
    return {sample.name for metric in metrics for sample in metric.samples}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("", set()),
        ("/mnt/backup", {gauge.name for gauge in backups.GAUGES}),
        ("pgbackrest:main", {backups.VERIFIED.name, backups.FINDINGS.name, backups.KIT.name}),
    ],
)
def test_a_database_that_pgbackrest_backs_up_is_not_said_to_be_behind(
    monkeypatch: pytest.MonkeyPatch, home: Path, place: str, expected: set[str]
) -> None:
    monkeypatch.setenv("FOREBAY_BACKUP_TO", place)
    Verified(at=1e9, good_at=1e9).write(home)
    backups.read()
    assert names() == expected
