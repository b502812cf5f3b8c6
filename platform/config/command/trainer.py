"""`forebay trainer`: installs the environment in which models are trained, and says what is there.

The code is 0 if it is ready, 1 if something is missing or failed, 2 if the command is wrong.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config import configuration
from config.command.trainer_environment import (
    CPU,
    CUDA,
    NEEDS,
    READY,
    InstallFailed,
    TrainerEnvironment,
    fitting_build,
    look,
)

_WRONG = 2


def trainer(arguments: Sequence[str]) -> int:
    typed = _parser().parse_args(arguments)
    try:
        configuration.apply(os.environ)
        from config.environment import HOME
    except ValueError as problem:
        print(f"forebay trainer: {problem}", file=sys.stderr)
        return _WRONG
    home = typed.home or Path(HOME)
    return _check(home, typed) if typed.command == "check" else _install(home, typed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay trainer", description=__doc__)
    parser.add_argument("--home", type=Path, help="in place of FOREBAY_HOME")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    install = commands.add_parser("install", help="make it, or continue after a failure")
    install.add_argument("--torch", choices=(CPU, CUDA), help="by default what fits this machine")
    install.add_argument("--yes", action="store_true", help="without a question")
    check = commands.add_parser("check", help="what is there")
    check.add_argument("--json", action="store_true", help="for programs")
    return parser


def _install(home: Path, typed: argparse.Namespace) -> int:
    made = TrainerEnvironment(home, typed.torch or fitting_build())
    if made.is_ready:
        print(f"{made.link} is ready.")
        return 0
    _announce(made)
    if missing := made.missing_mb:
        return _refuse(f"{missing} MB more of disk are needed in {home}", 1)
    if not typed.yes and not _is_wanted():
        return _refuse("nothing was installed; --yes installs without a question", _WRONG)
    try:
        report = made.install()
    except InstallFailed as problem:
        return _refuse(str(problem), 1)
    print(_text(report))
    print(f"{made.link} is ready.")
    return 0


def _announce(made: TrainerEnvironment) -> None:
    need = NEEDS[made.build]
    build = "for NVIDIA's GPUs" if made.build == CUDA else "for the CPU"
    print(f"PyTorch {build}, and what trains with it, into {made.link}:")
    print(f"  download  about {need.download_mb} MB, with hashes of requirements/train.txt")
    print(f"  disk      about {need.disk_mb} MB")
    print(f"  time      about {need.minutes} minutes")


def _is_wanted() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Install it? [y/N] ").strip().lower() in ("y", "yes")


def _check(home: Path, typed: argparse.Namespace) -> int:
    link = home / "trainer"
    other = os.environ.get("FOREBAY_TRAINER_PYTHON")  # one that somebody else has made
    python = Path(other) if other else link / "bin" / "python"
    ready = python.is_file() and (bool(other) or (link / READY).is_file())
    report = look(python) if ready else {"packages": {}, "cuda": None, "gpu": False}
    whole = ready and all(report["packages"].values())
    if typed.json:
        print(json.dumps({"ready": whole, "python": str(python), **report}, indent=2))
    elif not ready:
        print(f"{python} is not there: `forebay trainer install` makes it.")
    else:
        print(_text(report))
        print(f"{python} is {'ready' if whole else 'broken: `forebay trainer install` mends it'}.")
    return 0 if whole else 1


def _text(report: dict[str, Any]) -> str:
    """Returns a line for each package, and what PyTorch was built for."""
    width = max(map(len, report["packages"]))
    lines = [f"{name.ljust(width)}  {of or 'absent'}" for name, of in report["packages"].items()]
    gpu = "a GPU is there" if report["gpu"] else "no GPU is usable"
    build = f"CUDA {report['cuda']}, {gpu}" if report["cuda"] else "the CPU"
    return "\n".join([*lines, f"PyTorch is built for {build}."])


def _refuse(why: str, code: int) -> int:
    print(f"forebay trainer: {why}", file=sys.stderr)
    return code
