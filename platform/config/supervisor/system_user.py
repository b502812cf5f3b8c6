"""PostgreSQL refuses to run as root. For root, it runs as a system user of its own."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from config.supervisor.problem import Problem

NAME = "forebay"
# Either lets the user pass folders that only root may enter; most containers have the first only.
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


class SystemUser:
    """For anybody but root, all of this does nothing."""

    def __init__(self) -> None:
        self._needed = os.geteuid() == 0
        self._account = _account() if self._needed else None

    def own(self, folder: Path) -> None:
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    def prefix(self, *needs: Path) -> list[str]:
        """Put before a command, makes it run as the user, able to reach what it needs."""
        if not self._account:
            return []
        switch = ["setpriv", f"--reuid={NAME}", f"--regid={NAME}", "--clear-groups"]
        # Changing the user clears what Child has set: asked for once more.
        switch += ["--no-new-privs", "--pdeathsig=INT"]
        closed = next((path for path in needs if not _open_to_all(path)), None)
        return switch + (_pass_through(closed) if closed else []) + ["--"]


def _account() -> pwd.struct_passwd:
    if not shutil.which("setpriv"):
        raise Problem("PostgreSQL does not run as root: install util-linux, or be another user")
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return _new_account()


def _new_account() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--no-create-home", "--shell=/usr/sbin/nologin", NAME]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise Problem(
            "PostgreSQL does not run as root and a user for it cannot be made: "
            f"run `{' '.join(command)}`, or start Forebay as an ordinary user"
        ) from None


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _pass_through(path: Path) -> list[str]:
    status = Path("/proc/self/status").read_text()
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    for name, bit in _CAPABILITIES.items():
        if held >> bit & 1:
            return [f"--inh-caps=+{name}", f"--ambient-caps=+{name}"]
    raise Problem(
        f"PostgreSQL runs as the user {NAME}, who cannot enter {path}: put Forebay and "
        "FOREBAY_HOME where every user may enter, or start it as an ordinary user"
    )
