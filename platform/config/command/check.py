"""`forebay check`: what is missing, before anything starts. Exit code 1 where something fails."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from config.command.checks.finding import FAIL, RUN, WARN, Finding, fail


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("forebay check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args(arguments)
    findings = list(_print_each(_findings(), quiet=options.json))
    failed = sum(finding.state == FAIL for finding in findings)
    if options.json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in findings]}))
    else:
        print(f"\n{failed} to mend" if failed else f"\nForebay can start{_exception(findings)}")
    return int(bool(failed))


def _findings() -> Iterator[Finding]:
    """Yield findings; checks that depend on a failed one are left out."""
    try:  # a wrong file ends the program that imports this
        import config.environment  # noqa: F401  # it says what is wrong as it is imported
    except SystemExit as problem:
        yield fail("configuration", str(problem))
        return
    yield from _run_checks()


def _run_checks() -> Iterator[Finding]:
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


def _exception(findings: Sequence[Finding]) -> str:
    subjects = [finding.subject for finding in findings if finding.state == WARN]
    return ", but not by `forebay run`" if RUN in subjects else ""


def _print_each(findings: Iterator[Finding], *, quiet: bool) -> Iterator[Finding]:
    for finding in findings:
        if not quiet:
            print(f"{finding.state:<5} {finding.subject}: {finding.says}", flush=True)
        yield finding
