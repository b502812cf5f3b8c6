"""The load that the audit trail bears: requests received, settled and sealed a second.

PostgreSQL and Valkey of its own. One process on one uvloop writes requests onto the record as the
web process does, the sealer is another process.
"""

from bench.parts.part import Part, timed
from bench.parts.record.audit_report import AuditReport, aims, section
from bench.servers.without_platform import django_on_own_servers


def measure(rounds: int, seconds: float) -> AuditReport:
    with django_on_own_servers():
        import uvloop

        from bench.parts.record.audit_rounds import measure_rounds  # needs Django set up

        return uvloop.run(measure_rounds(rounds, seconds))


PART = Part("Audit", AuditReport, measure, section, timed(5, 6.0), timed(1, 3.0), aims)
