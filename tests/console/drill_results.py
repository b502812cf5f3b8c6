"""A report on drills, as `forebay drill` makes one, for the tests of pages."""

from typing import Any

from config.drills import session
from config.drills.consistency import Consistency
from config.drills.procedure import Result
from console.compliance.drills import report
from console.compliance.drills.kinds import KINDS
from console.compliance.signed_report import Report


def result(name: str = "kill_primary", rto_s: float = 21.5, **fields: Any) -> Result:
    fields = {"consistency": Consistency(acknowledged=250), "broken": "a1", **fields}
    books: dict[str, list[str]] = {"audit": [], "ledger": []}
    return Result(
        KINDS[name], began=1e9, broken_at=1e9, rto_s=rto_s, healthy_s=33.0, books=books, **fields
    )


def made(*results: Result) -> Report:
    drills = [session.as_drill(each) for each in results or (result(), result("switch_over", 3.2))]
    return report.make(
        drills, by="test", seed=7, topology="zones <a> & b", versions={"PostgreSQL": "18.4"}
    )
