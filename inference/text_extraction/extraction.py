"""Extracts a file's text in a process of its own, which is killed with its limits.

A parser of foreign files may be led to take all memory, to run for ever, or to run foreign code.
The process (child.py) has none of our variables, may open no file and no connection, and hands its
result back in memory.
"""

import os
import subprocess
import sys
import threading
from typing import BinaryIO

import msgspec

from inference.text_extraction.kinds import FileKind
from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted, Refused

AT_ONCE = 2  # processes, beside each web process
PATIENCE_S = 10.0  # for one of them
LONGEST_S = 60.0  # of one file; its processor time has a shorter limit
_free = threading.BoundedSemaphore(AT_ONCE)
_decoder = msgspec.msgpack.Decoder(Extracted | Refused)


class ExtractionBusy(Exception):
    """This process reads as many files as it may at once."""


def extract(raw: bytes, kind: FileKind) -> Extracted:
    """Returns what a model gets of a file. Raises UnreadableDocument, ExtractionBusy."""
    if not _free.acquire(timeout=PATIENCE_S):
        raise ExtractionBusy
    try:
        result = _run(raw, kind)
    finally:
        _free.release()
    if isinstance(result, Refused):
        raise UnreadableDocument(result.code)
    return result


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
