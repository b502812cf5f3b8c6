"""The time that authentication, limits and quota reserve add to a request.

PostgreSQL and Valkey of its own. One process on one uvloop takes requests as the web process does:
address limit, authentication, submit. Each slice is measured twice: with everything, and along the
same path without authentication, limits and reserve.
"""

import json

from bench.parts.part import Part, timed
from bench.parts.record.admission_report import MODEL, AdmissionReport, aims, section
from bench.servers.without_platform import django_on_own_servers

ENGINES = {MODEL: {"kind": "openai", "url": "http://127.0.0.1:9/v1", "slots": 64}}


def measure(rounds: int, seconds: float) -> AdmissionReport:
    with django_on_own_servers(FOREBAY_ENGINES=json.dumps(ENGINES)):
        import uvloop

        from bench.parts.record.admission_rounds import measure_rows  # needs Django set up

        return AdmissionReport(seconds, uvloop.run(measure_rows(rounds, seconds)))


PART = Part("Admission", AdmissionReport, measure, section, timed(5, 6.0), timed(2, 3.0), aims)
