"""Sealing and verifying a million events, on a PostgreSQL of its own (some 2 GB)."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
from django.conf import settings

from audit.proof import seal
from audit.verification import parallel
from audit.verification.verify import open_trail, verify
from bench.figures import Aim, cell, median, table
from bench.servers import machine
from bench.servers.without_platform import in_chunks

TIMES = 3
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
    from generate_series(%(first)s::int, %(last)s::int) n"""


@dataclass(slots=True)
class Verified:
    """Seconds of one verification."""

    s: float
    idle: float  # share of the cores' time that nobody used meanwhile


@dataclass(slots=True)
class VerifyReport:
    events: int
    sealed_s: float = 0.0
    seal_rounds: int = 0
    processes: int = 1
    verified: list[Verified] = field(default_factory=list)

    @property
    def verified_s(self) -> float | None:
        return median(one.s for one in self.verified)


def measure(events: int) -> VerifyReport:
    with psycopg.connect(settings.DATABASE_URL, autocommit=True, **settings.SEES_ALL) as own:
        for chunk in in_chunks(events, 100_000):
            own.execute(_INSERT, chunk)
        own.execute("vacuum analyze audit_event")
        report, began = VerifyReport(events, processes=parallel.processes()), time.monotonic()
        while seal.seal_round():
            report.seal_rounds += 1
        report.sealed_s = time.monotonic() - began
        own.execute("vacuum analyze audit_seal")
    report.verified = [_verify() for _ in range(TIMES)]
    return report


def _verify() -> Verified:
    idle = machine.idle_clock()
    with open_trail() as trail:
        report = verify(trail, texts=False)
    if not report.ok:
        raise AssertionError(report.findings)
    return Verified(report.took_s, idle())


def section(report: VerifyReport) -> str:
    text = (
        f"{report.events:,} events of 40 tenants, made by SQL and sealed by audit/proof/seal.py in "
        f"{report.seal_rounds} rounds and {report.sealed_s:.1f} s "
        f"({report.events / report.sealed_s:,.0f} events/s), verified {len(report.verified)} times "
        f"by audit/verification/verify.py: every event, seal, checkpoint and signature; no texts. "
        f"Python processes: {report.processes}."
    )
    body = ((cell(one.s), f"{one.idle:.0%}") for one in report.verified)
    return f"{text}\n\n{table(('verified in s', 'idle'), body)}"


def aims(report: VerifyReport) -> Iterator[Aim]:
    text = f"verification of {report.events:,} events, median"
    yield Aim(text, report.verified_s, "s", 4)


def key_figures(report: VerifyReport) -> dict[str, float | None]:
    million = report.events == 1_000_000
    return {"verify_million_s": report.verified_s if million else None}
