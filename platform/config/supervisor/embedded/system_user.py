"""A system user for PostgreSQL, which refuses to run as root."""

import contextlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from config.supervisor.terminal import Problem

NAME = "forebay"
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
        switch = f"setpriv --reuid={NAME} --regid={NAME} --clear-groups --pdeathsig=INT"
        return [*switch.split(), *_passage(data), "--no-new-privs", "--"]


def _account() -> pwd.struct_passwd:
    if not shutil.which("setpriv"):
        raise Problem("PostgreSQL does not run as root: install util-linux, or be another user")
    command = ["useradd", "--system", "--no-create-home", "--shell=/usr/sbin/nologin", NAME]
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        with contextlib.suppress(OSError):
            subprocess.run(command, capture_output=True)
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise Problem(
            "PostgreSQL does not run as root and a user for it cannot be made: "
            f"run `{' '.join(command)}`, or start Forebay as an ordinary user"
        ) from None


def _passage(data: Path) -> list[str]:
    """Returns the least capability that opens folders which only root may enter. Raises Problem."""
    if _open_to_all(data):
        return []
    for name, bit in _CAPABILITIES.items():
        if _effective_capabilities() >> bit & 1:
            return [f"--inh-caps=+{name}", f"--ambient-caps=+{name}"]
    raise Problem(
        f"PostgreSQL runs as the user {NAME}, who cannot enter {data}: "
        "set FOREBAY_HOME to a place that every user may enter, or start as an ordinary user"
    )


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16)
