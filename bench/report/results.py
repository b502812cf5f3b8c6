"""Everything one run of the bench found."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.compare.comparison import Row
from bench.compare.engine import EngineRow
from bench.compare.idle import IdleReport
from bench.parts.admission import AdmissionReport
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
from bench.report.aims import (
    Aim,
    of_admission,
    of_audit,
    of_batching,
    of_bodies,
    of_cache,
    of_comparison,
    of_dispatch,
    of_engine,
    of_fairness,
    of_grpc,
    of_idle,
    of_memory,
    of_preemption,
    of_search,
    of_usage,
    of_verify,
)


@dataclass(slots=True)
class Results:
    """Parts that were not asked for stay empty."""

    machine: dict[str, str]
    quick: bool
    rounds: int
    seconds: float
    litellm: str | None = None
    router: str | None = None
    comparison: list[Row] = field(default_factory=list)
    idle: IdleReport | None = None
    engine: list[EngineRow] = field(default_factory=list)
    batching: BatchingReport | None = None
    memory: MemoryReport | None = None
    bodies: BodiesReport | None = None
    admission: AdmissionReport | None = None
    grpc: GrpcReport | None = None
    scaling: ScalingReport | None = None
    cache: CacheReport | None = None
    usage: UsageReport | None = None
    audit: AuditReport | None = None
    audit_verify: VerifyReport | None = None
    audit_search: SearchReport | None = None
    fairness: FairnessReport | None = None
    dispatch: DispatchReport | None = None
    preemption: PreemptionReport | None = None

    def aims(self) -> list[Aim]:
        return list(self._aims())

    def _aims(self) -> Iterator[Aim]:
        if self.comparison:
            yield from of_comparison(self.comparison)
        if self.idle is not None:
            yield from of_idle(self.idle)
        if self.engine:
            yield from of_engine(self.engine)
        if self.batching is not None:
            yield from of_batching(self.batching)
        if self.memory is not None:
            yield from of_memory(self.memory)
        if self.bodies is not None:
            yield from of_bodies(self.bodies)
        if self.admission is not None:
            yield from of_admission(self.admission)
        if self.grpc is not None:
            yield from of_grpc(self.grpc)
        if self.cache is not None:
            yield from of_cache(self.cache)
        if self.usage is not None:
            yield from of_usage(self.usage)
        if self.audit is not None:
            yield from of_audit(self.audit)
        if self.audit_verify is not None:
            yield from of_verify(self.audit_verify)
        if self.audit_search is not None:
            yield from of_search(self.audit_search)
        if self.fairness is not None:
            yield from of_fairness(self.fairness)
        if self.dispatch is not None:
            yield from of_dispatch(self.dispatch)
        if self.preemption is not None:
            yield from of_preemption(self.preemption)

    def as_json(self) -> dict[str, Any]:
        listed = [asdict(aim) | {"met": aim.met} for aim in self.aims()]
        return asdict(self) | {"aims": listed}
