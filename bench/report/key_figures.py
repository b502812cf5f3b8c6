"""The figures of a run that bench/history.csv keeps."""

from collections.abc import Sequence

from bench.compare.engine import share_of_direct
from bench.compare.ratios import (
    IN_STEP,
    JSON_64,
    JSON_200,
    ONE_JSON,
    STREAMS_32,
    STREAMS_64,
    Ratios,
)
from bench.parts.audit_verify import FULL, VerifyReport
from bench.parts.record.admission_report import SETTINGS, AdmissionReport
from bench.parts.record.audit_report import FLOODS, AuditReport
from bench.report.results import Results


def key_figures(results: Results) -> dict[str, float | None]:
    """Returns figures by column, in the file's order; None where the run did not measure one."""
    mock, parts = Ratios(results.comparison), results.parts
    return {
        "json_64_rps_x": mock.faster(JSON_64),
        "json_64_cpu_x": mock.cheaper(JSON_64),
        "json_64_cpu_ms": mock.cpu(JSON_64),
        "streams_64_rps_x": mock.faster(STREAMS_64),
        "streams_64_cpu_x": mock.cheaper(STREAMS_64),
        "streams_64_cpu_ms": mock.cpu(STREAMS_64),
        "one_json_added_p50_ms": mock.added(ONE_JSON, "p50_ms"),
        "one_json_added_p99_ms": mock.added(ONE_JSON, "p99_ms"),
        "json_200_added_p50_ms": mock.added(JSON_200, "p50_ms"),
        "json_200_added_p99_ms": mock.added(JSON_200, "p99_ms"),
        "first_token_added_p50_ms": mock.added(STREAMS_32, "ttft_p50_ms"),
        "first_token_in_step_added_p50_ms": mock.added(IN_STEP, "ttft_p50_ms"),
        "token_gap_p99_ms": mock.metric(STREAMS_32, "gap_p99_ms"),
        "engine_1_share": share_of_direct(results.engine, 1),
        "engine_16_share": share_of_direct(results.engine, 16),
        "idle_cpu_percent": results.idle.total if results.idle else None,
        "audited_64_per_s": _audited(parts.get("audit")),
        "verify_million_s": _verified(parts.get("audit-verify")),
        "admission_1_tenant_p50_ms": _admitted(parts.get("admission"), SETTINGS[0].name),
        "admission_5000_tenants_p50_ms": _admitted(parts.get("admission"), SETTINGS[2].name),
        "router_json_64_cpu_ms": mock.cpu(JSON_64, "vllm-router"),
        "router_streams_64_cpu_ms": mock.cpu(STREAMS_64, "vllm-router"),
    }


def _audited(report: AuditReport | None) -> float | None:
    rows = report.floods if report is not None else []
    return next((row.per_second for row in rows if row.name == FLOODS[0].name), None)


def _verified(report: VerifyReport | None) -> float | None:
    return report.verified_s if report is not None and report.events == FULL else None


def _admitted(report: AdmissionReport | None, name: str) -> float | None:
    row = report.row(name) if report is not None else None
    return row.added.p50 if row is not None else None


COLUMNS: Sequence[str] = tuple(key_figures(Results({}, quick=True, rounds=0, seconds=0.0)))
