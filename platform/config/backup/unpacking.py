"""A tar is opened into a folder while it is being read."""

import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def unpack(copy: Callable[[BinaryIO], None], folder: Path) -> None:
    """Call `copy` with a file to write the tar to. Raises its error, tarfile.TarError, OSError."""
    reading, writing = os.pipe()
    unpacking = _Unpacking(reading, folder)
    unpacking.start()
    try:
        with open(writing, "wb") as target:
            copy(target)
    except BrokenPipeError:
        pass  # the other side has ended, and knows why
    finally:
        unpacking.join()
    if unpacking.error:
        raise unpacking.error


class _Unpacking(threading.Thread):
    def __init__(self, descriptor: int, folder: Path) -> None:
        super().__init__(name="backup-unpacking", daemon=True)
        self._descriptor, self._folder = descriptor, folder
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with open(self._descriptor, "rb") as source:
                with tarfile.open(fileobj=source, mode="r|") as tar:
                    tar.extractall(self._folder, filter="data")
                while source.read(1 << 16):  # zeros after the end; the writer is not cut off
                    pass
        except (tarfile.TarError, OSError) as error:
            self.error = error
