"""The clauses of each regime: what one asks for, the feature that answers it, and the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.compliance.texts import NOTHING, Text, content

MLPS, GDPR = "mlps-l3", "gdpr"
REGIMES: dict[str, Text] = {
    MLPS: Text("MLPS 2.0 level 3 (GB/T 22239-2019)", "等保 2.0 三级（GB/T 22239-2019）"),
    GDPR: Text("GDPR, Regulation (EU) 2016/679", "GDPR（欧盟 2016/679 号条例）"),
}
SHORT: dict[str, Text] = {
    MLPS: Text("MLPS 2.0 level 3", "等保 2.0 三级"),
    GDPR: Text("GDPR", "GDPR"),
}
_FILES = {MLPS: "mlps", GDPR: "gdpr"}


@dataclass(frozen=True, slots=True)
class Clause:
    """`customer` is what the operator of the installation must do; `missing`, what is not built."""

    regime: str
    number: str
    title: Text
    asks: Text
    feature: Text = NOTHING
    checks: Sequence[str] = ()  # names of checks, which are the evidence
    customer: Text = NOTHING
    missing: Text = NOTHING


CLAUSES = [
    Clause(regime, number, **fields)
    for regime, file in _FILES.items()
    for number, fields in content(file).items()
]
