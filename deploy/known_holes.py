"""python -m deploy.known_holes LOCK…: whether an advisory names what we install.

Asks PyPI's advisories through pip-audit. Exit code 1 where there is one. Where nobody answers (no
network, an index of one's own) it says what was not looked at, and is no obstacle: `--strict`, for
a release, makes it one.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.known_holes")
    parser.add_argument("locks", nargs="+", metavar="LOCK")
    parser.add_argument("--strict", action="store_true")
    options = parser.parse_args()
    problem, answer = ask(options.locks)
    code, lines = judged(answer, problem)
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return int(code or (options.strict and any("not looked at" in line for line in lines)))


def ask(locks: Sequence[str]) -> tuple[str, str]:
    """Run pip-audit, and return why there is no answer, and its JSON."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    command += ["--disable-pip", "--require-hashes", "--timeout", "10"]
    command += [word for lock in locks for word in ("-r", lock)]
    try:
        audit = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer in {SECONDS} s", ""
    return (audit.stderr.strip().splitlines() or ["no answer"])[-1], audit.stdout


def judged(answer: str, problem: str = "") -> tuple[int, list[str]]:
    """Returns the exit code and the lines of the report."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, LookupError, TypeError):
        return 0, [f"known holes: not looked at: {problem}"]
    holes = []
    for package in packages:
        for hole in package.get("vulns", ()):
            mended = " or ".join(hole.get("fix_versions") or ["no version yet"])
            name = f"{package['name']} {package['version']}"
            holes.append(f"{name}: {hole['id']}, mended in {mended}")
    if holes:
        return 1, [f"known holes: {len(holes)}", *holes]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    checked = len(packages) - len(skipped)
    lines = [f"known holes: none in {checked} packages"] if checked else []
    if skipped:
        names = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if skipped[3:] else "")
        lines.append(f"known holes: not looked at: {len(skipped)} packages, {names}")
    return 0, lines


if __name__ == "__main__":
    sys.exit(main())
