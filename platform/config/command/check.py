"""`forebay check`: what is missing, before anything starts. Exit code 1 where something fails."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from config.command.checks.finding import FAIL, RUN, WARN, Finding, fail


def check(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("forebay check", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    as_json = parser.parse_args(arguments).json
    findings = list[Finding]()
    for finding in _findings():
        findings.append(finding)
        if not as_json:
            print(f"{finding.state:<5} {finding.subject}: {finding.says}", flush=True)
    failed = sum(finding.state == FAIL for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(each) for each in findings]}))
        return int(bool(failed))
    not_run = any((each.subject, each.state) == (RUN, WARN) for each in findings)
    exception = ", but not by `forebay run`" if not_run else ""
    print(f"\n{failed} to mend" if failed else f"\nForebay can start{exception}")
    return int(bool(failed))


def _findings() -> Iterator[Finding]:
    """Yield findings; checks that depend on a failed one are left out."""
    try:  # a wrong file ends the program that imports this
        from config.command.checks import (
            machine,
            platform_itself,
            ports,
            secrets,
            servers,
            settings,
            transport,
        )
    except SystemExit as problem:
        yield fail("configuration", str(problem))
        return
    sound = True
    for check_ in (
        machine.findings,
        settings.findings,
        secrets.findings,
        transport.certificates,
        transport.exposed,
        servers.findings,
    ):
        for finding in check_():
            sound &= finding.state != FAIL
            yield finding
    if sound:
        yield from ports.findings()
        yield from platform_itself.findings()
