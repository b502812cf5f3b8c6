"""OpenMP for llama.cpp, which needs libgomp.so.1; its wheel takes that from the system.

A Debian without a compiler has none, so the copy inside the wheel pykdtree stands in for it.
"""

import ctypes
import importlib.util
from pathlib import Path

from config.supervisor.home import Home
from config.supervisor.terminal import Problem

_NAME = "libgomp.so.1"


def variables(home: Home) -> dict[str, str]:
    """Returns the variables by which the engine's loader finds OpenMP. Raises Problem."""
    if _system_has_it():
        return {}
    folder = home.run / "lib"
    folder.mkdir(exist_ok=True)
    (folder / _NAME).unlink(missing_ok=True)
    (folder / _NAME).symlink_to(_copy())
    return {"LD_LIBRARY_PATH": str(folder)}


def _system_has_it() -> bool:
    try:
        ctypes.CDLL(_NAME)
    except OSError:
        return False
    return True


def _copy() -> Path:
    package = importlib.util.find_spec("pykdtree")
    if package is not None and package.origin is not None:
        libraries = Path(package.origin).parents[1] / "pykdtree.libs"
        for library in libraries.glob("libgomp-*.so*"):
            return library
    raise Problem(f"the embedded engine needs {_NAME}: install the system package libgomp1")
