"""`make mutants`: puts one wrong line after the other into a copy, and asks its tests.

Results are kept in var/mutants.jsonl, so that a run that was cut off goes on where it was.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from config.environment import PROJECT
from tests.mutants.copy_of_project import Copy
from tests.mutants.mutant import Mutant, Stale, listed
from tests.mutants.results import Result, Results, Verdict

LIMIT_S = 900  # of all tests of a mutant: one that makes a test hang is noticed
PYTEST = (sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider")
ALL_PASSED, SOME_FAILED = 0, 1  # as pytest ends
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    mutants = [one for one in listed() if options.only in f"{one.path} {one.kind} {one.why}"]
    results = Results(PROJECT / "var" / "mutants.jsonl", anew=options.anew)
    due = [mutant for mutant in mutants if not results.is_done(mutant)]
    with tempfile.TemporaryDirectory(prefix="forebay-mutants-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        copy = Copy.make(Path(folder))
        if due and not options.trust and not _are_green(copy, due):
            return 1
        for number, mutant in enumerate(due, 1):
            result = tried(copy, mutant)
            results.add(result)
            print(f"{number}/{len(due)} {result.verdict:8} {mutant} ({result.told})", flush=True)
    words, good = results.summary(mutants)
    print(words)
    return 0 if good else 1


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants ARGS=…", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose path, kind or reason holds this")
    parser.add_argument("--anew", action="store_true", help="forget the results of earlier runs")
    parser.add_argument(
        "--trust", action="store_true", help="do not run the tests without a mutant first"
    )
    return parser.parse_args(arguments)


def _are_green(copy: Copy, mutants: list[Mutant]) -> bool:
    """A test that fails anyway would notice everything."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    print(f"without a mutant: {len(tests)} files and tests", flush=True)
    done = subprocess.run([*PYTEST, *tests], cwd=copy.root, env=copy.environment, check=False)
    return done.returncode == ALL_PASSED


def tried(copy: Copy, mutant: Mutant) -> Result:
    began = time.monotonic()
    try:
        with copy.with_mutant(mutant):
            verdict, told = _asked(copy, mutant)
    except Stale as problem:
        verdict, told = Verdict.STALE, str(problem)
    return Result(mutant.id, verdict, told, round(time.monotonic() - began, 1))


def _asked(copy: Copy, mutant: Mutant) -> tuple[Verdict, str]:
    """One after the other, until one fails."""
    until = time.monotonic() + LIMIT_S
    for test in mutant.tests:
        try:
            done = subprocess.run(
                [*PYTEST, test],
                cwd=copy.root,
                env=copy.environment,
                capture_output=True,
                text=True,
                timeout=max(1, until - time.monotonic()),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict.NOTICED, f"{test} does not end"
        if done.returncode == SOME_FAILED:
            named = _FAILED.search(done.stdout)
            return Verdict.NOTICED, named[1] if named else test
        if done.returncode != ALL_PASSED:
            return Verdict.BROKEN, f"{test}: pytest ended with {done.returncode}"
    return Verdict.SURVIVED, f"{len(mutant.tests)} passed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
