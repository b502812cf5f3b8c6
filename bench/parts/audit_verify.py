"""python -m bench.parts.audit_verify [--events N]: sealing and verifying a million events.

Own PostgreSQL and Valkey in a temporary folder, which is removed afterwards (some 2 GB).
"""

import argparse
import json
import os
import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.figures import machine
from bench.figures.statistics import median
from bench.figures.tables import cell, table
from bench.servers.processes import use_by_role
from bench.servers.without_platform import django_on_own_servers

FULL = 1_000_000
TIMES = 3
REAPED_S = 1.0  # until PostgreSQL has awaited a backend that ended: only then its CPU time counts
_INSERT = """
    insert into audit_event (at, action, tenant_id, request_id, actor, subject_id, api_key_id,
        client_net, route, model, upstream, success, status, error_code, response_length,
        processing_ms, tokens_in, tokens_out, payload_sha256, detail)
    select now() - interval '1 hour' + n * interval '1 millisecond',
        case n %% 2 when 0 then 'completion:received' else 'completion:completed' end,
        ('00000000-0000-4000-8000-' || lpad((n %% 40)::text, 12, '0'))::uuid, gen_random_uuid(),
        'key:' || gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '192.0.2.0',
        '/v1/chat/completions', 'smollm2-135m-instruct', 'llama_cpp', true, 200, '', 512, 843, 122,
        180, sha256(n::text::bytea), '{}'
    from generate_series(%s::int, %s::int) n"""


@dataclass(slots=True)
class Verified:
    """Seconds: on the clock, and of CPU."""

    s: float
    python_s: float
    postgres_s: float
    idle: float  # share of the cores' time that nobody used meanwhile


@dataclass(slots=True)
class VerifyReport:
    events: int
    sealed_s: float = 0.0
    seal_rounds: int = 0
    peak_mib: int = 0
    processes: int = 1
    verified: list[Verified] = field(default_factory=list)

    @property
    def verified_s(self) -> float | None:
        return median(one.s for one in self.verified)


def section(report: VerifyReport) -> str:
    said = (
        f"{report.events:,} events of 40 tenants, made by SQL and sealed by audit/proof/seal.py in "
        f"{report.seal_rounds} rounds and {report.sealed_s:.1f} s "
        f"({report.events / report.sealed_s:,.0f} events/s), verified {len(report.verified)} times "
        f"by audit/verification/verify.py: every event, seal, checkpoint and signature; no texts. "
        f"Python processes: {report.processes}; the memory of none peaked above "
        f"{report.peak_mib} MiB."
    )
    if report.events < FULL:
        said = f"**Fewer events than the {FULL:,} of the aim.** {said}"
    head = ("verified in s", "Python's CPU s", "PostgreSQL's CPU s", "idle")
    body = (
        (cell(one.s), cell(one.python_s), cell(one.postgres_s), f"{one.idle:.0%}")
        for one in report.verified
    )
    return f"{said}\n\n{table(head, body)}"


def measured(events: int) -> VerifyReport:
    import psycopg
    from django.conf import settings

    from audit.proof import seal
    from audit.verification import side_by_side

    with psycopg.connect(settings.DATABASE_URL, autocommit=True, **settings.SEES_ALL) as own:
        for first in range(1, events + 1, 100_000):
            own.execute(_INSERT, [first, min(events, first + 99_999)])
        own.execute("vacuum analyze audit_event")
        report, began = VerifyReport(events), time.monotonic()
        while seal.seal_round():
            report.seal_rounds += 1
        report.sealed_s = time.monotonic() - began
        own.execute("vacuum analyze audit_seal")
    report.verified = [verified() for _ in range(TIMES)]
    report.processes = side_by_side.processes()
    report.peak_mib = max(map(_peak_mib, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
    return report


def verified() -> Verified:
    from audit.verification.verify import opened, verify

    idle, python, postgres = machine.idle_seconds(), _python_s(), _postgres_s()
    with opened() as trail:
        report = verify(trail, texts=False)
    idle = machine.idle_seconds() - idle
    if not report.ok:
        raise AssertionError(report.findings)
    time.sleep(REAPED_S)
    return Verified(
        s=report.took_s,
        python_s=_python_s() - python,
        postgres_s=_postgres_s() - postgres,
        idle=idle / report.took_s / machine.cores(),
    )


def _python_s() -> float:
    """Of helpers that have ended, too."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


def _peak_mib(whose: int) -> int:
    return resource.getrusage(whose).ru_maxrss // 1024


def _postgres_s() -> float:
    """CPU seconds, so that a busy machine does not look like slow work."""
    return use_by_role([os.getpid()])["postgres"].cpu_ms / 1000


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.parts.audit_verify")
    parser.add_argument("--events", type=int, default=FULL)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    with django_on_own_servers():
        report = measured(options.events)
    print(section(report))
    if options.json:
        options.json.write_text(json.dumps(asdict(report), indent=1))


if __name__ == "__main__":
    main()
