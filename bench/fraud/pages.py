"""The report of a seed as the platform writes it: JSON, and its plots as SVG."""

import json
from pathlib import Path

from bench.fraud.results import Scorer
from bench.fraud.rows import Split
from inference.decisions.evaluation import plots, report
from inference.decisions.evaluation.report import Labelled
from inference.decisions.spec import Thresholds

THRESHOLDS = Thresholds(review=0.1, block=0.5)
SIDES = {"policy": "stack", "model": "model", "tree": "tree"}
WITHOUT_MODEL = {"policy": "tree, all rows", "tree": "tree"}
WORDS = {
    "policy": "Policy", "model": "Model alone", "tree": "Tree alone", "score": "mean score",
    "rate": "share of frauds", "threshold": "threshold", "cost": "cost of a payment",
}  # fmt: skip


def write(folder: Path, rows: Split, scorers: dict[str, Scorer]) -> None:
    """Writes report.json, reliability.svg and costs.svg."""
    names = SIDES if "model" in scorers else WITHOUT_MODEL
    sides = {side: scorers[name].scores["test"] for side, name in names.items()}
    cards = [str(row["card"]) for row in rows.test.inputs]
    about = {"policy": names["policy"], "calibration": "platt"}
    made = report.build(about, Labelled(rows.test.labels, cards), sides, THRESHOLDS)
    (folder / "report.json").write_text(json.dumps(made, indent=1))
    reliability = plots.reliability(made, "Reliability of the scores", WORDS)
    (folder / "reliability.svg").write_text(reliability)
    (folder / "costs.svg").write_text(plots.costs(made, "Cost of a payment by threshold", WORDS))
