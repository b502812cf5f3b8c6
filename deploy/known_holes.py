"""python -m deploy.known_holes LOCK…: whether an advisory names what we install.

Asks PyPI's advisories through pip-audit. Exit code 1 where there is one. Where nobody answers (no
network, an index of one's own) it says what was not looked at, and is no obstacle: `--strict`, for
a release, makes it one.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 300


def main(words: Sequence[str]) -> int:
    strict = "--strict" in words
    locks = [word for word in words if word != "--strict"]
    problem, answer = ask(locks)
    code, lines = judged(answer, problem)
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return 1 if code or (strict and any("not looked at" in line for line in lines)) else 0


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
    holes = [
        f"{package['name']} {package['version']}: {hole['id']}, mended in {mended(hole)}"
        for package in packages
        for hole in package.get("vulns", ())
    ]
    if holes:
        return 1, [f"known holes: {len(holes)}", *holes]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    checked = len(packages) - len(skipped)
    lines = [f"known holes: none in {checked} packages"] if checked else []
    if skipped:
        lines.append(f"known holes: not looked at: {len(skipped)} packages, {shown(skipped)}")
    return 0, lines


def mended(hole: dict[str, list[str]]) -> str:
    return " or ".join(hole.get("fix_versions") or ["no version yet"])


def shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
