"""Squashed migrations make the same as those they replace, and leave existing databases alone."""

import functools
import io
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from infrastructure.postgres import schema_release
from tests.upgrades import released
from tests.upgrades.old_version import OldVersion
from tests.upgrades.schema_snapshot import Snapshot, differences, snapshot
from tests.upgrades.squashing import (
    Key,
    every_step,
    forget_squashing,
    new_database,
    replaced,
    run_one_by_one,
    squashed,
)

HALF_WAY = ("inference", "0050_policy_evaluations")


# By the migrations alone --------------------------------------------------------------------------
@pytest.mark.unit
def test_the_models_are_those_of_the_replaced_migrations() -> None:
    loader = every_step()
    before = loader.project_state(replaced(loader))
    after = loader.project_state(list(squashed(loader)))
    assert MigrationAutodetector(before, after).changes(loader.graph) == {}
    assert MigrationAutodetector(after, before).changes(loader.graph) == {}


@pytest.mark.unit
def test_from_each_state_between_the_replaced_ones_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that has begun goes on by its own steps; the squashed one is for untouched apps."""
    loader = every_step()
    steps = replaced(loader)
    plan = [key for step in steps for key in loader.graph.forwards_plan(step)]
    others = [key for key in plan if key not in steps]
    for count in range(len(steps) + 1):
        applied = dict.fromkeys([*others, *steps[:count]])
        monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda _, a=applied: dict(a))
        loader = MigrationLoader(connection)
        loader.check_consistent_history(connection)
        begun = {app for app, _ in applied}
        to_run = [step for step in steps[count:] if step[0] in begun]
        to_run += [key for key in squashed(loader) if key[0] not in begun]
        assert sorted(_plan(loader)) == sorted(to_run)


def _plan(loader: MigrationLoader) -> list[Key]:
    """Returns what is still to run of squashed and replaced migrations."""
    ours = {*squashed(loader), *(step for m in squashed(loader).values() for step in m.replaces)}
    plans = map(loader.graph.forwards_plan, loader.graph.leaf_nodes())
    plan = dict.fromkeys(key for plan in plans for key in plan)
    return [key for key in plan if key in ours and key not in loader.applied_migrations]


# By databases -------------------------------------------------------------------------------------
# They cost a minute, and change only with the squashed migrations.
@pytest.mark.soak
@pytest.mark.slow(seconds=90)
@pytest.mark.django_db(transaction=True)
def test_a_fresh_database_is_the_one_of_the_replaced_migrations() -> None:
    """The other one has stops at the migrations of the last release and half way."""
    with new_database("test_replaced"):
        run_one_by_one(released.LEAVES.items())
        migrate(*HALF_WAY)
        assert {app for app, _ in recorded()} == {"audit"}
        migrate()
        assert differences(snapshot(), fresh()) == []
        assert recorded() == set(squashed(every_step()))


@pytest.mark.soak
@pytest.mark.slow(seconds=90)
@pytest.mark.django_db(transaction=True)
def test_a_whole_database_of_an_earlier_version_needs_nothing() -> None:
    with new_database("test_whole"):
        migrate()
        forget_squashing()
        assert not schema_release.unapplied()  # processes of this version start at once
        assert "No migrations to apply" in migrate()
        assert recorded() == set(squashed(every_step()))


@pytest.mark.soak
@pytest.mark.slow(seconds=90)
@pytest.mark.django_db(transaction=True)
def test_a_database_of_the_last_release_gets_the_same_tables(tmp_path: Path) -> None:
    old = OldVersion(tmp_path / "old")
    with new_database("test_released"):
        old.migrate(f"{settings.DATABASE_URL.rpartition('/')[0]}/test_released", tmp_path / "home")
        migrate()
        assert recorded() == set(squashed(every_step()))
        # Functions stay that were dropped since.
        lines = differences(snapshot(), fresh())
        assert [line for line in lines if not line.startswith("functions, -")] == []


@functools.cache
def fresh() -> Snapshot:
    with new_database("test_squashed"):
        migrate()
        return snapshot()


def migrate(*arguments: str) -> str:
    output = io.StringIO()
    call_command("migrate", *arguments, interactive=False, skip_checks=True, stdout=output)
    return output.getvalue()


def recorded() -> set[Key]:
    """Returns the squashed migrations on record."""
    return MigrationRecorder(connection).applied_migrations().keys() & squashed(every_step()).keys()
