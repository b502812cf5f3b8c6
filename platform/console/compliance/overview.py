"""The clauses of the regimes, each with the newest result of its checks, here or in a tenant."""

from dataclasses import dataclass
from enum import StrEnum

from audit.models import CheckRun
from console.compliance.check import COULD_NOT_RUN, Check, CheckProblem, Reach
from console.compliance.checks import CHECKS
from console.compliance.clause import CLAUSES, REGIMES, Clause
from console.compliance.texts import Text
from tenants.models import Tenant


class ClauseState(StrEnum):
    PROBLEM = "problem"
    WAITING = "waiting"  # a check has not run yet
    SHOWN = "shown"
    MISSING = "missing"  # this version has nothing
    CUSTOMER = "customer"


STATES: dict[ClauseState, Text] = {
    ClauseState.PROBLEM: Text("Problem", "存在问题"),
    ClauseState.WAITING: Text("Not checked yet", "尚未检查"),
    ClauseState.SHOWN: Text("Evidence", "有证据"),
    ClauseState.MISSING: Text("Not in this version", "本版本未提供"),
    ClauseState.CUSTOMER: Text("By the customer", "由客户负责"),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    check: Check
    run: CheckRun | None

    @property
    def problem(self) -> CheckProblem | None:
        if self.run is None or self.run.ok:
            return None
        return self.check.problems.get(self.run.problem, COULD_NOT_RUN)

    @property
    def is_empty(self) -> bool:
        """Returns whether all is well only because there was nothing to look at."""
        figure = self.check.over
        return bool(figure and self.run and self.run.ok and not self.run.figures.get(figure))


@dataclass(frozen=True, slots=True)
class ClauseRow:
    clause: Clause
    evidence: list[Evidence]

    @property
    def state(self) -> ClauseState:
        if any(one.problem for one in self.evidence):
            return ClauseState.PROBLEM
        if not self.evidence:
            return ClauseState.CUSTOMER if self.clause.customer.en else ClauseState.MISSING
        if any(one.run is None for one in self.evidence):
            return ClauseState.WAITING
        return ClauseState.SHOWN

    @property
    def state_word(self) -> Text:
        return STATES[self.state]


@dataclass(frozen=True, slots=True)
class Blocker:
    """A check that failed, and the clauses that depend on it."""

    evidence: Evidence
    problem: CheckProblem
    clauses: list[Clause]


@dataclass(frozen=True, slots=True)
class Overview:
    lines: list[ClauseRow]

    @property
    def blockers(self) -> list[Blocker]:
        failed = {e.check.name: e for line in self.lines for e in line.evidence if e.problem}
        return [
            Blocker(one, one.problem, [n.clause for n in self.lines if name in n.clause.checks])
            for name, one in failed.items()
            if one.problem
        ]

    @property
    def evidence(self) -> list[Evidence]:
        """Returns the evidence of every check of these clauses, each once."""
        return list({e.check.name: e for line in self.lines for e in line.evidence}.values())

    def numbers(self) -> list[tuple[ClauseState, Text, int]]:
        """Returns how many clauses are in each state. They add up to no score."""
        states = [line.state for line in self.lines]
        return [
            (state, STATES[state], states.count(state)) for state in ClauseState if state in states
        ]


def overview_of(tenant: Tenant | None, regime: str = "") -> Overview:
    runs = _newest(tenant)
    clauses = [clause for clause in CLAUSES if regime in ("", clause.regime)]
    return Overview([_line(clause, runs) for clause in clauses])


def _line(clause: Clause, runs: dict[str, CheckRun]) -> ClauseRow:
    return ClauseRow(clause, [Evidence(CHECKS[name], runs.get(name)) for name in clause.checks])


def _newest(tenant: Tenant | None) -> dict[str, CheckRun]:
    """Returns the newest run of each check. Of the platform's, a tenant sees the GENERAL ones."""
    runs = _runs(None)
    if tenant is None:
        return runs
    general = {n: run for n, run in runs.items() if CHECKS[n].reach is Reach.GENERAL}
    return general | _runs(tenant)


def _runs(tenant: Tenant | None) -> dict[str, CheckRun]:
    runs = CheckRun.objects.filter(tenant_id=tenant.id if tenant else None, name__in=list(CHECKS))
    return {run.name: run for run in runs.order_by("name", "-at", "-pk").distinct("name")}


def known_regime(text: str) -> str:
    return text if text in REGIMES else ""
