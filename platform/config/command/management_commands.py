"""The management commands that `manage.py` and `forebay manage` run; every other one is refused.

Django and its apps bring commands that change people and rows without a record: a password that
`changepassword` sets leaves no event, and opens older texts that a reset link keeps locked.
"""

import enum
import sys
from collections.abc import Sequence

from django.core.management import ManagementUtility, get_commands
from django.db import OperationalError

from config import environment


class Effect(enum.Enum):
    """The headings of `help`: the effect of the commands below them."""

    ON_RECORD = "On people, money, keys and engines; each leaves an audit event"
    READS = "Shows or compares"
    PREPARES = "Prepares a start"
    DEVELOPS = "Changes the source, in a checkout alone"


ALLOWED = {
    "apply_tombstones": Effect.ON_RECORD,
    "audit_export": Effect.ON_RECORD,
    "audit_resume": Effect.ON_RECORD,
    "breaker": Effect.ON_RECORD,
    "compliance_report": Effect.ON_RECORD,
    "create_api_key": Effect.ON_RECORD,
    "create_operator": Effect.ON_RECORD,
    "create_tenant": Effect.ON_RECORD,
    "first_run": Effect.ON_RECORD,
    "isolation": Effect.ON_RECORD,
    "release_texts": Effect.ON_RECORD,
    "remove_operator": Effect.ON_RECORD,
    "reset_mfa": Effect.ON_RECORD,
    "reset_password": Effect.ON_RECORD,
    "rotate_keys": Effect.ON_RECORD,
    "audit_check": Effect.READS,
    "audit_verify": Effect.READS,
    "check": Effect.READS,
    "check_keys": Effect.READS,
    "engines_drift": Effect.READS,
    "findstatic": Effect.READS,
    "reconcile": Effect.READS,
    "seal_secret": Effect.READS,
    "showmigrations": Effect.READS,
    "spectacular": Effect.READS,
    "sqlmigrate": Effect.READS,
    "audit_protect": Effect.PREPARES,
    "collectstatic": Effect.PREPARES,
    "migrate": Effect.PREPARES,
    "prepare_start": Effect.PREPARES,
    "compilemessages": Effect.DEVELOPS,
    "makemessages": Effect.DEVELOPS,
    "makemigrations": Effect.DEVELOPS,
    "optimizemigration": Effect.DEVELOPS,
    "squashmigrations": Effect.DEVELOPS,
}

_LINK = "`reset_password EMAIL` makes a link, on record, with which they set a new one"
_OPERATOR = "`create_operator EMAIL` makes a link for another operator, on record"
_LOCKED = "a lock after wrong passwords ends by itself after half an hour"
_STATEMENTS = "read with psql as a role that may only read; acts go through the console or the API"
_DUMP = "back up and restore as docs/deployment-database.md says"
_MIGRATED = "`migrate` makes every table that Forebay needs"
_PROCESSES = "`forebay run` or `make run` starts the platform"
_SCRIPT = "the console and the API under /api/v1/ show and change everything, on record"
_CONFIGURED = "`forebay check` shows what is configured, without secrets"
_STALE = "Forebay keeps nothing there"
_TESTED = "`make test` runs the tests"
_CODE = "Forebay's packages are laid out as CONTRIBUTING.md says"
_MAIL = "Forebay sends no mail: links are handed over by people"

# Commands that stay refused, and the sentence that says what to do instead.
REFUSED = {
    "account_unsetmultipleprimaryemails": _STALE,
    "axes_list_attempts": "the audit trail shows refused sign-ins",
    "axes_reset": _LOCKED,
    "axes_reset_failure_logs": _LOCKED,
    "axes_reset_ip": _LOCKED,
    "axes_reset_ip_username": _LOCKED,
    "axes_reset_logs": _LOCKED,
    "axes_reset_username": _LOCKED,
    "changepassword": _LINK,
    "clean_orphan_obj_perms": _STALE,
    "clearsessions": "sessions that are over open nothing; people end theirs in the console",
    "createcachetable": _MIGRATED,
    "createsuperuser": _OPERATOR,
    "dbshell": _STATEMENTS,
    "diffsettings": _CONFIGURED,
    "dumpdata": _DUMP,
    "flush": _DUMP,
    "inspectdb": _STATEMENTS,
    "loaddata": _DUMP,
    "remove_stale_contenttypes": _MIGRATED,
    "runserver": _PROCESSES,
    "runworker": _PROCESSES,
    "sendtestemail": _MAIL,
    "shell": _SCRIPT,
    "sqlflush": _DUMP,
    "sqlsequencereset": _DUMP,
    "startapp": _CODE,
    "startproject": _CODE,
    "test": _TESTED,
    "testserver": _PROCESSES,
}


def refusal(command: str) -> str:
    """Returns why this command does not run here, in one line.

    It is "" for an allowed command, and for one that does not exist.
    """
    if command not in get_commands():
        return ""  # Django says so, with the nearest name
    effect = ALLOWED.get(command)
    if effect is None:
        return f"{command} is refused, it would act without a record: {_alternative(command)}"
    if effect is Effect.DEVELOPS and environment.INSTALLED:
        return f"{command} changes source code: run it in a checkout"
    return ""


def _alternative(command: str) -> str:
    return REFUSED.get(command, "`help` lists the commands that Forebay runs")


def execute(typed: Sequence[str]) -> None:
    """Run a command line, the program's name first. Problems end the program with one line."""
    try:
        _Utility(list(typed)).execute()
    except KeyboardInterrupt:
        sys.exit(130)
    except OperationalError as problem:
        if "--traceback" in typed:
            raise
        reason = str(problem).strip().splitlines()[0]
        start = "start Forebay with `make run` or set DATABASE_URL"
        sys.exit(f"{typed[0]}: the database does not answer ({reason}): {start}")


class _Utility(ManagementUtility):
    def fetch_command(self, subcommand: str) -> object:  # type: ignore[override]  # Django's stubs
        if problem := refusal(subcommand):
            print(f"{self.prog_name}: {problem}", file=sys.stderr)
            sys.exit(1)
        return super().fetch_command(subcommand)

    def main_help_text(self, commands_only: bool = False) -> str:
        """Returns the help, which lists the allowed commands alone."""
        commands = sorted(name for name in ALLOWED if not refusal(name))
        if commands_only:
            return "\n".join(commands)
        lines = [f"Type '{self.prog_name} help COMMAND' for the options of one of these."]
        for effect in Effect:
            names = [name for name in commands if ALLOWED[name] is effect]
            lines += ["", f"{effect.value}:", *(f"  {name}" for name in names)] if names else []
        return "\n".join(lines)
