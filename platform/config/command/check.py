"""`forebay check`: what is missing, before anything starts. Exit code 1 where something fails."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from config.command.checks.finding import FAIL, RUN, WARN, Finding, fail


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("forebay check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    asked = parser.parse_args(arguments)
    found = list(_shown(_findings(), quiet=asked.json))
    failed = sum(finding.state == FAIL for finding in found)
    if asked.json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in found]}))
    else:
        print(f"\n{failed} to mend" if failed else f"\nForebay can start{_but(found)}")
    return int(bool(failed))


def _findings() -> Iterator[Finding]:
    """What stands on what has failed is left out."""
    try:  # a file that is wrong ends whoever imports this
        import config.environment  # noqa: F401  # it says what is wrong as it is imported
    except SystemExit as problem:
        yield fail("configuration", str(problem))
        return
    yield from _all()


def _all() -> Iterator[Finding]:
    from config.command.checks import (
        certificates,
        embedded,
        exposed,
        machine,
        platform_itself,
        ports,
        secrets,
        servers,
        settings,
    )

    sound = True
    for module in (machine, settings, secrets, certificates, exposed, servers, embedded):
        for finding in module.findings():
            sound &= finding.state != FAIL
            yield finding
    if sound:
        yield from ports.findings()
        yield from platform_itself.findings()


def _but(findings: Sequence[Finding]) -> str:
    subjects = [finding.subject for finding in findings if finding.state == WARN]
    return ", but not by `forebay run`" if RUN in subjects else ""


def _shown(findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
    for finding in findings:
        if not quiet:
            print(f"{finding.state:<5} {finding.subject}: {finding.says}", flush=True)
        yield finding
