"""A clause of a regime: what it asks for, the feature that answers it, and the evidence."""

from dataclasses import dataclass, field

from console.compliance.texts import NOTHING, Text

MLPS, GDPR = "mlps-l3", "gdpr"
REGIMES: dict[str, Text] = {
    MLPS: Text("MLPS 2.0 level 3 (GB/T 22239-2019)", "等保 2.0 三级（GB/T 22239-2019）"),
    GDPR: Text("GDPR, Regulation (EU) 2016/679", "GDPR（欧盟 2016/679 号条例）"),
}
SHORT: dict[str, Text] = {
    MLPS: Text("MLPS 2.0 level 3", "等保 2.0 三级"),
    GDPR: Text("GDPR", "GDPR"),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """`customer` is what the operator of the installation must do; `missing`, what is not built."""

    number: str
    title: Text
    asks: Text
    feature: Text = NOTHING
    checks: tuple[str, ...] = ()  # names of checks, which are the evidence
    customer: Text = NOTHING
    missing: Text = NOTHING
    regime: str = field(default="")
