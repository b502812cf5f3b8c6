"""The parts of a run that have servers of their own, in the order in which they run."""

from dataclasses import dataclass
from typing import Any

from bench.parts import audit_search, audit_verify, memory, usage
from bench.parts.admission import AdmissionReport
from bench.parts.apart import measured_apart
from bench.parts.audit import AuditReport
from bench.parts.audit_search import SearchReport
from bench.parts.audit_verify import VerifyReport
from bench.parts.batching import BatchingReport
from bench.parts.big_bodies import BodiesReport
from bench.parts.cache_trace import CacheReport
from bench.parts.dispatch import DispatchReport
from bench.parts.fairness import FairnessReport
from bench.parts.grpc_unary import GrpcReport
from bench.parts.memory import MemoryReport
from bench.parts.preemption import PreemptionReport
from bench.parts.scaling import ScalingReport
from bench.parts.usage import UsageReport
from bench.report.results import Results

FEW = 500_000  # rows of a quick run
FEW_VERIFIED = 100_000
Size = dict[str, float]  # options of its command: how much it measures


@dataclass(frozen=True, slots=True)
class Part:
    field: str  # of the results
    module: str
    kind: type[Any]  # of its report
    quick: Size
    full: Size

    def measure(self, results: Results, rounds: int | None, seconds: float | None) -> None:
        """`rounds` and `seconds` that somebody asked for go before its own, where it has any."""
        size = self.quick if results.quick else self.full
        asked = {"rounds": rounds, "seconds": seconds}
        size = {name: asked.get(name) or own for name, own in size.items()}
        setattr(results, self.field, measured_apart(self.module, self.kind, **size))


def timed(rounds: int, seconds: float) -> Size:
    return {"rounds": rounds, "seconds": seconds}


APART = {
    "batching": Part(
        "batching", "bench.parts.batching", BatchingReport, timed(1, 5.0), timed(3, 20.0)
    ),
    "memory": Part(
        "memory",
        "bench.parts.memory",
        MemoryReport,
        {"requests": memory.FEW, "held": memory.FEW_HELD},
        {"requests": memory.FULL, "held": memory.HELD},
    ),
    "bodies": Part("bodies", "bench.parts.big_bodies", BodiesReport, timed(1, 2.0), timed(3, 4.0)),
    "admission": Part(
        "admission", "bench.parts.admission", AdmissionReport, timed(2, 3.0), timed(5, 6.0)
    ),
    "grpc": Part("grpc", "bench.parts.grpc_unary", GrpcReport, timed(1, 2.0), timed(3, 4.0)),
    "scaling": Part("scaling", "bench.parts.scaling", ScalingReport, timed(1, 2.0), timed(3, 4.0)),
    "cache": Part(
        "cache",
        "bench.parts.cache_trace",
        CacheReport,
        {"requests": 1_000, "prompts": 500},
        {"requests": 10_000, "prompts": 5_000},
    ),
    "usage": Part("usage", "bench.parts.usage", UsageReport, {"rows": FEW}, {"rows": usage.FULL}),
    "audit": Part("audit", "bench.parts.audit", AuditReport, timed(1, 3.0), timed(5, 6.0)),
    "audit-verify": Part(
        "audit_verify",
        "bench.parts.audit_verify",
        VerifyReport,
        {"events": FEW_VERIFIED},
        {"events": audit_verify.FULL},
    ),
    "audit-search": Part(
        "audit_search",
        "bench.parts.audit_search",
        SearchReport,
        {"rows": FEW},
        {"rows": audit_search.FULL},
    ),
    # What the queue does for tenants and classes of work.
    "fairness": Part(
        "fairness", "bench.parts.fairness", FairnessReport, timed(1, 20.0), timed(1, 60.0)
    ),
    "dispatch": Part(
        "dispatch", "bench.parts.dispatch", DispatchReport, timed(1, 5.0), timed(3, 5.0)
    ),
    "preemption": Part(
        "preemption", "bench.parts.preemption", PreemptionReport, timed(1, 5.0), timed(1, 12.0)
    ),
}
