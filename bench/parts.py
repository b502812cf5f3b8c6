"""The parts of a run that have servers of their own, in the order in which they run."""

from dataclasses import dataclass
from typing import Any

from bench import audit_search, audit_verify, memory, usage
from bench.admission import AdmissionReport
from bench.apart import measured_apart
from bench.audit import AuditReport
from bench.audit_search import SearchReport
from bench.audit_verify import VerifyReport
from bench.batching import BatchingReport
from bench.big_bodies import BodiesReport
from bench.cache_trace import CacheReport
from bench.dispatch import DispatchReport
from bench.fairness import FairnessReport
from bench.grpc_unary import GrpcReport
from bench.memory import MemoryReport
from bench.preemption import PreemptionReport
from bench.results import Results
from bench.scaling import ScalingReport
from bench.usage import UsageReport

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
    "batching": Part("batching", "bench.batching", BatchingReport, timed(1, 5.0), timed(3, 20.0)),
    "memory": Part(
        "memory",
        "bench.memory",
        MemoryReport,
        {"requests": memory.FEW, "held": memory.FEW_HELD},
        {"requests": memory.FULL, "held": memory.HELD},
    ),
    "bodies": Part("bodies", "bench.big_bodies", BodiesReport, timed(1, 2.0), timed(3, 4.0)),
    "admission": Part(
        "admission", "bench.admission", AdmissionReport, timed(2, 3.0), timed(5, 6.0)
    ),
    "grpc": Part("grpc", "bench.grpc_unary", GrpcReport, timed(1, 2.0), timed(3, 4.0)),
    "scaling": Part("scaling", "bench.scaling", ScalingReport, timed(1, 2.0), timed(3, 4.0)),
    "cache": Part(
        "cache",
        "bench.cache_trace",
        CacheReport,
        {"requests": 1_000, "prompts": 500},
        {"requests": 10_000, "prompts": 5_000},
    ),
    "usage": Part("usage", "bench.usage", UsageReport, {"rows": FEW}, {"rows": usage.FULL}),
    "audit": Part("audit", "bench.audit", AuditReport, timed(1, 3.0), timed(5, 6.0)),
    "audit-verify": Part(
        "audit_verify",
        "bench.audit_verify",
        VerifyReport,
        {"events": FEW_VERIFIED},
        {"events": audit_verify.FULL},
    ),
    "audit-search": Part(
        "audit_search",
        "bench.audit_search",
        SearchReport,
        {"rows": FEW},
        {"rows": audit_search.FULL},
    ),
    # What the queue does for tenants and classes of work.
    "fairness": Part("fairness", "bench.fairness", FairnessReport, timed(1, 20.0), timed(1, 60.0)),
    "dispatch": Part("dispatch", "bench.dispatch", DispatchReport, timed(1, 5.0), timed(3, 5.0)),
    "preemption": Part(
        "preemption", "bench.preemption", PreemptionReport, timed(1, 5.0), timed(1, 12.0)
    ),
}
