"""`forebay restore`: puts a backup of the embedded PostgreSQL back, to its end or to a moment."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from config import environment
from config.backup import configured, kit
from config.backup.kind import Kind
from config.backup.kinds.pgbackrest import PgBackRest
from config.backup.restoring.restoration import Restoration
from config.command.backup import FAILURES, end_cleanly, moment
from config.supervisor.home import Home
from config.supervisor.terminal import RunProblem


def restore(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    home = Home(environment.HOME)
    end_cleanly()
    try:
        home.take()
        if options.kit:
            names = kit.unpack(options.kit, kit.passphrase(twice=False), home)
            print(f"took {len(names)} secrets from {options.kit}")
        kind = configured.kind(home.root, options.place, options.system)
        data = _data(kind, options.data, home)
        restoration = Restoration(
            home,
            kind,
            data,
            replaces=options.replace,
            despite_findings=options.despite_findings,
        )
        restoration.run(options.at, options.base)
    except FAILURES as problem:
        print(f"forebay restore: {problem}", file=sys.stderr)
        return 2
    return 0


def _data(kind: Kind, folder: Path | None, home: Home) -> Path:
    """Returns the folder of the database that is restored. Raises RunProblem."""
    if isinstance(kind, PgBackRest) != bool(folder):
        raise RunProblem(
            "--data FOLDER names the data folder of a PostgreSQL of your own: a restore from "
            "pgBackRest needs it, and one of the embedded PostgreSQL takes none"
        )
    return folder or home.root / "postgres"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay restore", description=__doc__)
    add = parser.add_argument
    add("--at", type=moment, metavar="MOMENT", help="ISO 8601, with its offset from UTC; else all")
    add("--base", default="", metavar="LABEL", help="begin with this base backup")
    add("--from", dest="place", default="", metavar="PLACE", help="else FOREBAY_BACKUP_TO")
    add("--system", default="", metavar="ID", help="which database, if PLACE has several")
    add("--kit", type=Path, metavar="FILE", help="take the secrets that are missing here from it")
    add("--data", type=Path, metavar="FOLDER", help="of a PostgreSQL of your own, stopped")
    add("--replace", action="store_true", help="set the database that is here aside")
    add("--despite-findings", action="store_true", help="go on with what is lost or damaged")
    return parser
