"""Which figures of backups there are; each alert looks at those that are there."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from psycopg.conninfo import make_conninfo
from pytest_django.fixtures import Settings

from config.metrics import backups
from config.metrics.scraped_sources import Database
from console.backups.record import Verified
from console.backups.verifications import store
from infrastructure.metrics import Gauge


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.environment.HOME", tmp_path)
    monkeypatch.setattr(backups, "_recorded", backups.Recorded())
    backups.forget()
    return tmp_path


def names() -> set[str]:
    metrics = (metric for gauge in backups.GAUGES for metric in gauge.collect())
    return {sample.name for metric in metrics for sample in metric.samples}


@pytest.fixture
def database(db: None, settings: Settings) -> Iterator[Database]:
    name = connection.settings_dict["NAME"]
    settings.DATABASE_URL = make_conninfo(settings.DATABASE_URL, dbname=name)
    source = Database()
    yield source
    source.forget()
    backups.forget()


def value(gauge: Gauge) -> float:
    (sample,) = (sample for metric in gauge.collect() for sample in metric.samples)
    return float(sample.value)


@pytest.mark.django_db(transaction=True)
def test_a_verification_on_the_databases_host_counts_here(database: Database) -> None:
    """Cron or Ansible verifies there: nothing of it is in this home."""
    now = time.time()
    store(Verified(at=now - 100, good_at=now - 100))
    database.read()
    backups.read()
    assert value(backups.VERIFIED) == pytest.approx(now - 100, abs=1)
    assert value(backups.FINDINGS) == 0
    store(Verified(at=now, good_at=now - 100, findings=["one", "another"]))
    database.read()
    backups.read()
    assert value(backups.VERIFIED) == pytest.approx(now - 100, abs=1)
    assert value(backups.FINDINGS) == 2
    assert names() == {backups.VERIFIED.name, backups.FINDINGS.name}


@pytest.mark.unit
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
