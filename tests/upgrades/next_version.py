"""The code of this checkout as a later version, with a migration that is its own."""

import shutil
import subprocess
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

from config.environment import PROJECT
from infrastructure import release

NEXT = "9.9.9"  # a version after this one
# It adds a column, as later versions may beside this one (CONTRIBUTING.md, Compatible changes).
MIGRATION = """\
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("inference", "{leaf}")]
    operations = [migrations.RunSQL("alter table inference_job add column of_the_next text")]
"""


def write_next_version(tree: Path) -> None:
    """Copy the code, which calls itself a later version there."""
    for name in _code():
        if (PROJECT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, tree / name)
    release_file = tree / "infrastructure" / "release.py"
    text = release_file.read_text().replace(f'"{release.VERSION}"', f'"{NEXT}"', 1)
    release_file.write_text(text)


def add_migration(tree: Path) -> None:
    ((_app, leaf),) = MigrationLoader(None).graph.leaf_nodes("inference")
    (tree / "inference/migrations/9999_next.py").write_text(MIGRATION.format(leaf=leaf))


def _code() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True).stdout
    return listed.decode().split("\0")
