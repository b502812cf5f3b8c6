"""The management commands that `manage.py` and `forebay manage` run; every other one is refused.

Django and its apps bring commands that change people and rows without a record: a password that
`changepassword` sets leaves no event, and opens older texts that a reset link keeps locked.
"""

import enum
import os
import sys
from collections.abc import Sequence

from django.core.management import ManagementUtility, get_commands
from django.db import OperationalError

from config import environment
from config.command import typed


class Effect(enum.Enum):
    """The headings of `help`: the effect of the commands below them."""

    ON_RECORD = "On people, money, keys and engines; each leaves an audit event"
    READS = "Shows or compares"
    PREPARES = "Prepares a start"
    DEVELOPS = "Changes the source, in a checkout alone"


_COMMANDS = {
    Effect.ON_RECORD: """
        apply_tombstones audit_export audit_resume breaker compliance_report create_api_key
        create_operator create_tenant first_run isolation record_verification register_model
        release_texts remove_operator reset_mfa reset_password rotate_api_key
        rotate_keys""",
    Effect.READS: """
        audit_check audit_verify check check_keys check_restored engines_drift findstatic
        model_files reconcile seal_secret showmigrations spectacular sqlmigrate""",
    Effect.PREPARES: "audit_protect collectstatic migrate prepare_start",
    Effect.DEVELOPS: """
        compilemessages makemessages makemigrations optimizemigration squashmigrations""",
}
ALLOWED = {name: effect for effect, names in _COMMANDS.items() for name in names.split()}

# What to do instead of commands that stay refused.
_INSTEAD = {
    "`reset_password EMAIL` makes a link, on record, with which they set a new one": (
        "changepassword"
    ),
    "`create_operator EMAIL` makes a link for another operator, on record": "createsuperuser",
    "a lock after wrong passwords ends by itself after half an hour": """
        axes_reset axes_reset_failure_logs axes_reset_ip axes_reset_ip_username axes_reset_logs
        axes_reset_username""",
    "the audit trail shows refused sign-ins": "axes_list_attempts",
    "sessions that are over open nothing; people end theirs in the console": "clearsessions",
    "read with psql as a role that may only read; acts go through the console or the API": (
        "dbshell inspectdb"
    ),
    "back up and restore as docs/deployment-database.md says": """
        dumpdata flush loaddata sqlflush sqlsequencereset""",
    "`migrate` makes every table that Forebay needs": "createcachetable remove_stale_contenttypes",
    "`forebay run` or `make run` starts the platform": "runserver runworker testserver",
    "the console and the API under /api/v1/ show and change everything, on record": "shell",
    "`forebay check` shows what is configured, without secrets": "diffsettings",
    "Forebay keeps nothing there": "account_unsetmultipleprimaryemails clean_orphan_obj_perms",
    "`make test` runs the tests": "test",
    "Forebay's packages are laid out as CONTRIBUTING.md says": "startapp startproject",
    "Forebay sends no mail: links are handed over by people": "sendtestemail",
}
REFUSED = {name: sentence for sentence, names in _INSTEAD.items() for name in names.split()}


def refusal(command: str) -> str:
    """Returns why this command does not run here, in one line.

    It is "" for an allowed command, and for one that does not exist.
    """
    if command not in get_commands():
        return ""  # Django says so, with the nearest name
    effect = ALLOWED.get(command)
    if effect is None:
        instead = REFUSED.get(command, "`help` lists the commands that Forebay runs")
        return f"{command} is refused, it would act without a record: {instead}"
    if effect is Effect.DEVELOPS and environment.INSTALLED:
        return f"{command} changes source code: run it in a checkout"
    return ""


def manage(arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    execute(["forebay manage", *arguments])


def migrate(arguments: Sequence[str]) -> None:
    manage(["migrate", "--noinput", *arguments])


def execute(line: Sequence[str]) -> None:
    """Run a command line, the program's name first. Problems end the program with one line."""
    if problem := typed.problem(line[1:]):
        print(f"{line[0]}: {problem}", file=sys.stderr)
        sys.exit(2)
    try:
        _Utility(list(line)).execute()
    except KeyboardInterrupt:
        sys.exit(130)
    except OperationalError as refused:
        if "--traceback" in line:
            raise
        reason = str(refused).strip().splitlines()[0]
        start = "start Forebay with `make run` or set DATABASE_URL"
        sys.exit(f"{line[0]}: the database does not answer ({reason}): {start}")


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
