"""`forebay postgres PROGRAM …`: a backup program of the embedded PostgreSQL, as its superuser.

Its programs are of its own version, and the password is in FOREBAY_HOME/secrets.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from config import environment
from config.supervisor.embedded.postgres_programs import VERSION, wheel
from config.supervisor.terminal import RunProblem

# None of them runs a statement: changes go through commands that leave a record.
PROGRAMS = (
    "createdb",
    "dropdb",
    "pg_basebackup",
    "pg_dump",
    "pg_isready",
    "pg_receivewal",
    "pg_restore",
)


def postgres(arguments: Sequence[str]) -> NoReturn:
    if not arguments or arguments[0] not in PROGRAMS:
        sys.exit(f"forebay postgres: name one of {', '.join(PROGRAMS)}, and what it takes")
    try:
        program = wheel() / f"pginstall{VERSION}" / "bin" / arguments[0]
        variables = {**os.environ, **_connection()}
    except RunProblem as problem:
        sys.exit(f"forebay postgres: {problem}")
    os.execve(program, [str(program), *arguments[1:]], variables)  # noqa: S606  # no shell


def superusers_url() -> str:
    """Returns the URL of the running embedded database's superuser. Raises Problem."""
    known = _connection()
    where = f"host={quote(known['PGHOST'], safe='/')}&port={known['PGPORT']}"
    return f"postgres://{known['PGUSER']}:{quote(known['PGPASSWORD'])}@/forebay?{where}"


def _connection() -> Mapping[str, str]:
    """Returns the variables by which libpq connects. Raises RunProblem."""
    file = environment.HOME / "run" / "env.json"
    try:
        url: str = json.loads(file.read_text())["DATABASE_URL"]
        password = (environment.HOME / "secrets" / "postgres.password").read_text().strip()
    except (OSError, ValueError, KeyError):
        raise RunProblem(
            f"no embedded PostgreSQL runs on {environment.HOME}: start it with `make run` or "
            "`forebay run`, for a restore with `make servers` or `forebay servers`; for a "
            "PostgreSQL of your own use its own programs"
        ) from None
    known = conninfo_to_dict(f"postgresql://{url.partition('://')[2]}")
    return {
        "PGHOST": str(known["host"]),
        "PGPORT": str(known["port"]),
        "PGUSER": "postgres",
        "PGPASSWORD": password,
    }
