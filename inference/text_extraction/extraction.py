"""Extracts a file's text in a process of its own, which is killed with its limits.

A parser of foreign files may be led to take all memory, to run for ever, or to run foreign code.
The process (child.py) has none of our variables, may open no file and no connection, and hands its
result back in memory.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import msgspec

from inference.text_extraction.kinds import FileKind
from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted, Refused

AT_ONCE = 2  # processes, beside each web process
WAITING = 2  # threads that wait for one of them: others have pages to make
PATIENCE_S = 10.0
LONGEST_S = 60.0  # of one file; its processor time has a shorter limit
_places = threading.BoundedSemaphore(AT_ONCE + WAITING)
_free = threading.BoundedSemaphore(AT_ONCE)
_decoder = msgspec.msgpack.Decoder(Extracted | Refused)


class ExtractionBusy(Exception):
    """This process reads as many files as it may at once."""


def extract(raw: bytes, kind: FileKind) -> Extracted:
    """Returns what a model gets of a file. Raises UnreadableDocument, ExtractionBusy."""
    with _acquired(_places, 0), _acquired(_free, PATIENCE_S):
        result = _run(raw, kind)
    if isinstance(result, Refused):
        raise UnreadableDocument(result.code)
    return result


@contextmanager
def _acquired(places: threading.Semaphore, patience_s: float) -> Iterator[None]:
    if not places.acquire(timeout=patience_s):
        raise ExtractionBusy
    try:
        yield
    finally:
        places.release()


def _run(raw: bytes, kind: FileKind) -> Extracted | Refused:
    with _in_memory("document") as document, _in_memory("result") as result:
        document.write(raw)
        document.seek(0)
        if not _ends_well(kind, document, result):
            return Refused("too_demanding")
        result.seek(0)
        return _decoded(result.read())


def _in_memory(name: str) -> BinaryIO:
    """Returns a file that is never on a disk, where its text would be in the clear."""
    return open(os.memfd_create(name), "w+b", buffering=0)


def _ends_well(kind: FileKind, document: BinaryIO, result: BinaryIO) -> bool:
    command = [sys.executable, "-I", "-m", "inference.text_extraction.child", kind]
    try:
        ended = subprocess.run(
            command,
            stdin=document,
            stdout=result,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _decoded(packed: bytes) -> Extracted | Refused:
    try:
        result: Extracted | Refused = _decoder.decode(packed)
    except msgspec.DecodeError:
        return Refused("broken")
    return result
