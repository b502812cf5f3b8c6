"""Reads one file from standard input: `python -I -m inference.text_extraction.child KIND`.

It imports all that it may need, then gives up its rights, and only then looks at the file.
"""

import codecs
import os
import resource
import sys
from collections.abc import Callable
from encodings.aliases import aliases
from importlib import import_module

import msgspec

from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted, Refused

MEMORY = 768 << 20  # bytes of addresses
PROCESSOR_S = 20
RESULT = 32 << 20  # bytes
LIMITS = {
    resource.RLIMIT_AS: MEMORY,
    resource.RLIMIT_CPU: PROCESSOR_S,
    resource.RLIMIT_FSIZE: RESULT,
    resource.RLIMIT_NOFILE: 0,  # no file and no connection, also in the place of a closed one
    resource.RLIMIT_NPROC: 0,
    resource.RLIMIT_CORE: 0,
}


def main(kind: str) -> None:
    reader = import_module(f"inference.text_extraction.readers.{kind}")
    read: Callable[[bytes], Extracted] = reader.read
    reader.load()
    _load_codecs()
    give_up_rights()
    sys.stdout.buffer.write(msgspec.msgpack.encode(_result(read)))


def _result(read: Callable[[bytes], Extracted]) -> Extracted | Refused:
    try:
        return read(sys.stdin.buffer.read())
    except UnreadableDocument as problem:
        return Refused(problem.code)
    except MemoryError:
        return Refused("too_demanding")
    except Exception:  # parsers raise anything for a broken file
        return Refused("broken")


def _load_codecs() -> None:
    """Import every codec: a parser looks them up by name when no file can be opened any more."""
    for name in {*aliases.values(), "utf-8-sig", "unicode-escape", "raw-unicode-escape"}:
        try:
            codecs.lookup(name)
        except LookupError:  # one of another system
            continue


def give_up_rights() -> None:
    os.nice(10)  # requests go first
    for name, most in LIMITS.items():
        hard = resource.getrlimit(name)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (bound, bound))


if __name__ == "__main__":
    main(sys.argv[1])
