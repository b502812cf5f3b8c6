"""`forebay backup COMMAND`: backups of the embedded PostgreSQL, made, listed and proven."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import psycopg

from config import backup_settings, environment
from config.backup import configured, kit
from config.backup.restoring import verification
from config.backup.status import Status
from config.backup.storage.sealed import Unreadable
from config.command import postgres
from config.supervisor.terminal import RunProblem
from console.backups.record import Progress, Verified
from infrastructure.objects.place import StoreError

Act = Callable[[argparse.Namespace], int]
FAILURES = (
    RunProblem,
    StoreError,
    Unreadable,
    environment.EnvironmentProblem,
    OSError,
    psycopg.Error,
)


def backup(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    act: Act = options.act
    try:
        return act(options)
    except FAILURES as problem:
        print(f"forebay backup: {problem}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay backup")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Act, does: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=does, description=does)
        added.set_defaults(act=act)
        added.add_argument("--json", action="store_true", help="for programs")
        return added

    command("status", _status, "how far all is stored, and what was last proven; 1 if behind")
    command("list", _list, "the base backups")
    command("now", _now, "make a base backup of the running database")
    verify = command("verify", _verify, "restore beside the database and check; 1 with findings")
    verify.add_argument(
        "--at", type=moment, metavar="MOMENT", help="ISO 8601 with an offset; else now"
    )
    keep = command("kit", _kit, "the secrets that a restore needs, in one file with a passphrase")
    keep.add_argument("file", type=Path, metavar="FILE")
    keep.add_argument("--check", action="store_true", help="does FILE open, and is it current?")
    return parser


def end_cleanly() -> None:
    """Remove the copy on the way out if the command is stopped, or its terminal goes away."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, lambda *_: sys.exit(143))


def moment(text: str) -> datetime:
    """Returns the moment of an ISO 8601 text, which must say in which zone its hour is."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text} must be like 2026-11-30T03:15:00+01:00, with an offset from UTC"
        )
    return parsed


def _status(options: argparse.Namespace) -> int:
    home = environment.HOME
    status = Status(
        backup_settings.address(), Progress.read(home), Verified.read(home), time.time()
    )
    print(json.dumps(status.as_json()) if options.json else status)
    return 0 if status.is_well else 1


def _list(options: argparse.Namespace) -> int:
    known = configured.kind(environment.HOME).bases()
    if options.json:
        print(json.dumps([asdict(base) for base in known]))
        return 0
    for base in known:
        print(f"{base.label}  {base.stored_bytes / 1e6:9.1f} MB  PostgreSQL {base.postgresql}")
    return 0


def _now(options: argparse.Namespace) -> int:
    base = configured.kind(environment.HOME, superusers_url=_superusers_url()).take()
    print(json.dumps(asdict(base)) if options.json else f"made the base backup {base.label}")
    return 0


def _superusers_url() -> str:
    """Returns "" where the database is not the embedded one."""
    return "" if os.environ.get("DATABASE_URL") else postgres.superusers_url()


def _verify(options: argparse.Namespace) -> int:
    end_cleanly()
    if not backup_settings.address():
        raise RunProblem(configured.NO_PLACE)
    verified = verification.verify(environment.HOME, options.at)
    print(json.dumps(asdict(verified)) if options.json else verified)
    if not options.at:
        _put_on_record(verified)
    return 1 if verified.findings else 0


def _put_on_record(verified: Verified) -> None:
    try:
        verification.put_on_record(verified)
    except RunProblem as problem:
        print(f"forebay backup: the result is not on record: {problem}", file=sys.stderr)


def _kit(options: argparse.Namespace) -> int:
    passphrase = kit.passphrase(twice=not options.check)
    if options.check:
        kit.check(environment.HOME, options.file, passphrase)
        did = "opens, and has what this home has"
    else:
        kit.write(environment.HOME, options.file, passphrase)
        did = "is written: keep it apart from the backups, and the passphrase apart"
    if options.json:
        print(json.dumps({"file": str(options.file), "elsewhere": kit.elsewhere()}))
        return 0
    print(f"{options.file} {did}")
    for name in kit.elsewhere():
        print(f"{name} is not in it: keep its value apart from the backups as well")
    return 0
