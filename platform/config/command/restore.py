"""`forebay restore`: puts a backup of the embedded PostgreSQL back, to its end or to a moment."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from config import environment
from config.backup import configured, kit
from config.backup.restoration import Restoration
from config.command.backup import FAILURES, moment
from config.supervisor.home import Home


def restore(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    home = Home(environment.HOME)
    try:
        home.take()
        if options.kit:
            names = kit.unpack(options.kit, kit.passphrase(twice=False), home)
            print(f"took {len(names)} secrets from {options.kit}")
        kind = configured.kind(home.root, options.place, options.system)
        data = options.data or home.root / "postgres"
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay restore", description=__doc__)
    add = parser.add_argument
    add("--at", type=moment, metavar="MOMENT", help="ISO 8601; without it, all that is stored")
    add("--base", default="", metavar="LABEL", help="begin with this base backup")
    add("--from", dest="place", default="", metavar="PLACE", help="else FOREBAY_BACKUP_TO")
    add("--system", default="", metavar="ID", help="which database, if PLACE has several")
    add("--kit", type=Path, metavar="FILE", help="take the secrets that are missing here from it")
    add("--data", type=Path, metavar="FOLDER", help="of a PostgreSQL of your own, stopped")
    add("--replace", action="store_true", help="set the database that is here aside")
    add("--despite-findings", action="store_true", help="go on without lines of erasures")
    return parser
