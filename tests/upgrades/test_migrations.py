"""The code of the last release runs on this version's tables: expand first, contract later."""

import pytest
from django.db import connection, models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from infrastructure import release
from tests.upgrades import released
from tests.upgrades.linting import objections, since_the_release
from tests.upgrades.squashing import every_step, replaced, squashed

pytestmark = pytest.mark.django_db

# Migrations that the linter objects to: the name, and why it may go.
CONTRACTIONS: dict[str, str] = {
    "tenants.0022_longer_units": "a longer varchar takes all words of the last release",
    "tenants.0023_sessions": "the key gets longer by a column that is null in each row so far",
    "tenants.0031_team_quotas": "the key gets longer by a column that is null in each row so far",
    "inference.0039_usage_by_adapter": "the key gets longer, so no row can break it; the last "
    "release's roll-up, which names the shorter key, fails until this version rolls up each row",
}


@pytest.fixture(scope="module")
def loader(django_db_setup: None, django_db_blocker: "pytest.FixtureRequest") -> MigrationLoader:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]  # pytest-django's own
        return every_step(connection)


@pytest.mark.soak("replaced")
@pytest.mark.parametrize("kind", ["newest", "replaced"])
def test_migrations_since_the_last_release_suit_its_code(
    loader: MigrationLoader, kind: str
) -> None:
    """Those that a squashed one replaces change no more: `make soak` looks at them."""
    settled = set(replaced(loader))
    for migration in since_the_release(loader):
        key = migration.app_label, migration.name
        if (key in settled) == (kind == "replaced"):
            before = loader.project_state(key, at_end=False)
            name = ".".join(key)
            assert name in CONTRACTIONS or not objections(migration, before), name


def test_the_last_release_may_run_beside_this_one() -> None:
    assert not release.is_before(released.VERSION, release.OLDEST_BESIDE)
    assert release.is_before(released.VERSION, release.VERSION)


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (operations.RemoveField("price", "model"), "DROP_COLUMN"),
        (operations.RenameField("price", "model", "named"), "RENAME_COLUMN"),
        (operations.DeleteModel("Refusal"), "DROP_TABLE"),
        (operations.AlterModelTable("price", "tenants_prices"), "RENAME_TABLE"),
        (operations.AddField("price", "note", models.TextField(default="")), "NOT_NULL"),
        (operations.AddField("price", "note", models.TextField(db_default="")), ""),
        (operations.AddField("price", "note", models.TextField(null=True)), ""),
    ],
)
def test_what_is_found(loader: MigrationLoader, operation: Operation, code: str) -> None:
    migration = type("Next", (Migration,), {"operations": [operation]})("9999_next", "tenants")
    found = objections(migration, loader.project_state(list(squashed(loader))))
    assert [line.split(":")[0] for line in found] == ([code] if code else [])
