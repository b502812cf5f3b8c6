"""The result of a verification, and of one section of it."""

from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from audit.proof.chain import CheckpointFacts

MOST = 200  # findings in full; all are counted
Head = tuple[int, int, bytes]  # the end of a tenant's chain: last batch, next number, hash


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding. `kind` is for programs, `text` for people."""

    kind: str
    text: str
    tenant_id: str | None = None
    checkpoint: int | None = None
    batch: int | None = None
    event_id: int | None = None


@dataclass(slots=True)
class VerificationReport:
    findings: list[Finding] = field(default_factory=list)
    found: int = 0
    figures: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.found

    def add(self, kind: str, text: str, *, tenant_id: UUID | None = None, **where: Any) -> None:
        self.found += 1
        if len(self.findings) < MOST:
            tenant = None if tenant_id is None else str(tenant_id)
            self.findings.append(Finding(kind, text, tenant, **where))

    def add_of(self, seal: Any, kind: str, text: str, **where: Any) -> None:
        """Adds a finding about a seal: a row, or what else has its tenant, batch and checkpoint."""
        place = {"tenant_id": seal.tenant_id, "batch": seal.batch, "checkpoint": seal.checkpoint}
        self.add(kind, text, **place, **where)

    def count(self, what: str, number: int = 1) -> None:
        self.figures[what] = self.figures.get(what, 0) + number

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "found": self.found,
            "figures": self.figures,
            "notes": self.notes,
            "took_s": round(self.took_s, 3),
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(slots=True)
class SectionResult:
    """The result of a section. `lacking`: missing events that may have been dropped with months.

    A section that starts in the middle has the checkpoint before as its `anchor`, and takes the
    ends of chains that it finds there on trust.
    """

    report: VerificationReport
    lacking: int = 0
    anchor: CheckpointFacts | None = None
    last: CheckpointFacts | None = None
    first_seal: int | None = None
    last_seal: int | None = None
    taken_on_trust: dict[UUID, Head] = field(default_factory=dict)
    heads: dict[UUID, Head] = field(default_factory=dict)
