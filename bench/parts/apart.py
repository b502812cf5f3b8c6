"""Parts that are a process of their own: they have settings and servers of their own."""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from bench.servers.child import REPOSITORY

T = TypeVar("T")


def measured_apart(module: str, kind: type[T], **options: float) -> T:
    """What `python -m MODULE` found. Raises CalledProcessError."""
    with tempfile.NamedTemporaryFile(suffix=".json") as found:
        command = [sys.executable, "-m", module, "--json", found.name]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        return msgspec.json.decode(Path(found.name).read_bytes(), type=kind)


def run(
    module: str,
    measured: Callable[[int, float], T],
    section: Callable[[T], str],
    *,
    rounds: int,
    seconds: float,
) -> None:
    """The other side: such a part's `main`. `rounds`, `seconds`: where the caller says none."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of a slice")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    # Else a SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    report = measured(options.rounds, options.seconds)
    print(section(report))
    if options.json:
        options.json.write_bytes(msgspec.json.encode(report))
