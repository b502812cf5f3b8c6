"""llama.cpp needs libgomp.so.1, and its wheel takes it from the system.

A Debian without a compiler has none, so the copy inside the wheel pykdtree stands in for it.
"""

import ctypes
import importlib.util
from pathlib import Path

from config.supervisor.home import Home
from config.supervisor.screen import Problem

_NAME = "libgomp.so.1"


def variables(home: Home) -> dict[str, str]:
    """What the engine's environment needs so that the loader finds OpenMP."""
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
    found = importlib.util.find_spec("pykdtree")
    if found is not None and found.origin is not None:
        libraries = Path(found.origin).parents[1] / "pykdtree.libs"
        for library in libraries.glob("libgomp-*.so*"):
            return library
    raise Problem(f"the embedded engine needs {_NAME}: install the system package libgomp1")
