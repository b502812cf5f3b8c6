"""The table of deploy/prometheus/metrics.md, and what there is to be in it."""

import importlib
import re
from pathlib import Path

from infrastructure.metrics import FAMILIES

PROJECT = Path(__file__).resolve().parents[3]
PAGE = PROJECT / "deploy" / "prometheus" / "metrics.md"
_ROW = re.compile(
    r"^\| `((?:forebay|DCGM)_\w+)` \| (\w+) \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE
)


def documented() -> dict[str, tuple[str, ...]]:
    """Name -> type, labels, who exports it, what it says."""
    return {name: tuple(rest) for name, *rest in _ROW.findall(PAGE.read_text())}


def load_all() -> None:
    """Every module that has a metric: each is found by the name of the package in it."""
    for package in ("infrastructure", "audit", "tenants", "inference", "platform"):
        for path in sorted((PROJECT / package).rglob("*.py")):
            if "from infrastructure.metrics import" in path.read_text():
                parts = path.relative_to(PROJECT).with_suffix("").parts
                importlib.import_module(".".join(parts).removeprefix("platform."))


def row(name: str, whose: str) -> str:
    """Returns a row as the table has it."""
    family = FAMILIES[name]
    labels = ", ".join(f"`{label.name}`" for label in family.labels)
    kind = type(family).__name__.lower()
    return f"| `{name}` | {kind} | {labels} | {whose} | {family.text} |"
