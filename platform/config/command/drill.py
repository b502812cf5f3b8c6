"""`forebay drill COMMAND`: staged failures of a running installation, and their report."""

import argparse
import getpass
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import django

if TYPE_CHECKING:
    from config.drills.plan import Plan
    from console.compliance.drills.kinds import Kind

MOST_ROUNDS = 20
Act = Callable[[argparse.Namespace], int]
MISUSE, STOPPED = 2, 130


def drill(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "system")
    django.setup()
    from django.db import Error

    from config.drills.lock import Taken
    from config.drills.procedure import Unhealthy

    act: Act = options.act
    try:
        return act(options)
    except (Unhealthy, Taken, ValueError, OSError, Error) as problem:
        print(f"forebay drill: {problem}", file=sys.stderr)
        return MISUSE
    except (KeyboardInterrupt, EOFError):  # the end of the input, where a yes was asked for
        print("forebay drill: stopped", file=sys.stderr)
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forebay drill")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: Act, does: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=does, description=does)
        added.set_defaults(act=act)
        return added

    plan = command("plan", _plan, "what `run` would do, and whether all is well; changes nothing")
    run = command("run", _run, "break one thing after the other under load, undo it, and compare")
    for each in (plan, run):
        each.add_argument("--only", default="", metavar="KIND,…", help="some of the plan's drills")
        each.add_argument("--rounds", type=_rounds, default=1, help="how often each, 20 at most")
        each.add_argument("--seed", type=int, help="of an earlier report, for its order")
    run.add_argument("--yes", action="store_true", help="ask nothing, for a timer")
    run.add_argument("--out", type=Path, metavar="FOLDER", help="for the report's files")
    command("status", _status, "the last report; 1 if it is old or a drill failed")
    command("undo", _undo, "undo what a drill that was killed has left broken")
    return parser


def _rounds(text: str) -> int:
    """Raises ValueError, which argparse reports."""
    if not 1 <= (rounds := int(text)) <= MOST_ROUNDS:
        raise ValueError(text)
    return rounds


def _plan(options: argparse.Namespace) -> int:
    from config.drills import plan as plans
    from config.drills.installation import problem
    from config.drills.patroni import Cluster

    plan = plans.read(_file())
    cluster = Cluster(plan.patroni)
    reason = problem(plan, cluster)
    print(f"{plan.topology}: {reason or 'well'}")
    values = {} if reason else cluster.values()
    for kind in _order(options, plan, _seed(options)):
        print(f"\n{kind.name}: {kind.breaks.en}")
        step = plan.kinds.get(kind.name)
        for what, commands in (("break", step.break_), ("undo", step.undo)) if step else ():
            for each in commands:
                words = plans.filled(each, values) if values else each
                print(f"  {what}: {' '.join(words)}")
    return 1 if reason else 0


def _run(options: argparse.Namespace) -> int:
    from config import environment
    from config.drills import lock, session
    from config.drills import plan as plans
    from config.drills.clients import Addresses, clients
    from config.drills.installation import RealInstallation
    from config.drills.undoing import Undoing

    plan, seed = plans.read(_file()), _seed(options)
    kinds = _order(options, plan, seed)
    addresses = Addresses(plan.http, plan.grpc, plan.chat, plan.model)
    signal.signal(signal.SIGTERM, stop)
    with lock.here(environment.HOME):
        if Undoing(environment.HOME).is_open:
            raise ValueError("a drill was killed, something is broken still: `forebay drill undo`")
        with lock.drilling(_who()) as renew, clients(addresses) as asking:
            installation = RealInstallation(plan, asking, environment.HOME)
            allowed = _asks(renew, yes=options.yes)
            results = session.drill(kinds, installation, _say, allowed)
            drills = [session.as_drill(result) for result in results]
            return _report(drills, seed, plan.topology, options.out)


def _report(drills: list[dict[str, object]], seed: int, topology: str, out: Path | None) -> int:
    """Write the report, and put it on record where the database answers still."""
    from django.db import Error

    from config import environment
    from config.drills import session
    from console.compliance.drills import evidence, report
    from tenants.scope import system_scope

    if not drills:
        _say("nothing was broken")
        return 0
    make = partial(
        report.make,
        drills,
        by=_who(),
        seed=seed,
        topology=topology,
        versions={"Python": platform.python_version()},
    )
    problem = ""
    try:
        with system_scope():
            evidence.record(made := make(), by="command:drill")
    except Error as error:
        made, problem = make(with_checkpoint=False), f"the report is not on record: {error}"
    folder = out or environment.HOME / "drill" / f"{time.strftime('%Y%m%d-%H%M%S')}"
    for file in session.write(made, folder):
        print(file)
    if problem:
        print(f"forebay drill: {problem}", file=sys.stderr)
    return 0 if evidence.is_good(made) and not problem else 1


def _status(options: argparse.Namespace) -> int:
    from console.compliance.drills import evidence
    from tenants.scope import system_scope

    with system_scope():
        made = evidence.newest()
    if made is None:
        print("no drill is on record")
        return 1
    body, age = made["body"], evidence.age_of(made)
    figures = ", ".join(f"{name} {value}" for name, value in body["summary"].items())
    print(f"{body['made_at']} ({age.days} days ago): {figures}")
    return 0 if evidence.is_good(made) and age <= evidence.OLDEST else 1


def _undo(options: argparse.Namespace) -> int:
    from config import environment
    from config.drills import lock
    from config.drills.undoing import Undoing

    with lock.here(environment.HOME):
        failures = Undoing(environment.HOME).undo()
        for failure in failures:
            print(f"forebay drill: {failure}", file=sys.stderr)
        if not failures:
            print("nothing is broken")
            lock.release(socket.gethostname())
    return 1 if failures else 0


def _order(options: argparse.Namespace, plan: "Plan", seed: int) -> "list[Kind]":
    from config.drills import session

    names = [name for name in options.only.split(",") if name]
    return session.ordered(plan.chosen(names), options.rounds, seed)


def _asks(renew: Callable[[], None], *, yes: bool) -> "Callable[[Kind], bool]":
    def allowed(kind: "Kind") -> bool:
        if not yes:
            print(f"  {kind.breaks.en}")
            if input("  Break it now? Type yes: ").strip() != "yes":
                return False
        renew()
        return True

    return allowed


def _file() -> Path:
    from django.conf import settings

    if not settings.DRILLS:
        raise ValueError("set FOREBAY_DRILLS (docs/operations/disaster-recovery.md)")
    return Path(settings.DRILLS)


def _seed(options: argparse.Namespace) -> int:
    return options.seed if options.seed is not None else int(time.time())


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _say(line: str) -> None:
    print(line, flush=True)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """End as by Ctrl-C: what is broken is undone on the way out."""
    raise KeyboardInterrupt
