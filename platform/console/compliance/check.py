"""Checks of the running platform, their outcomes, and the texts that explain them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from console.compliance.texts import Text
from tenants.models import Tenant

SHOWN = 20  # of what was found


class Reach(Enum):
    GENERAL = "general"  # about the platform, without data of anybody: everybody may see it
    EACH = "each"  # once over the whole platform, for operators, and once for each tenant


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """`problem` is a key of Check.problems, "" if all is well. Figures are JSON."""

    problem: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


Run = Callable[[Tenant | None], CheckOutcome]


@dataclass(frozen=True, slots=True)
class CheckProblem:
    what: Text
    todo: Text


@dataclass(frozen=True, slots=True)
class Check:
    """A check. `run` gets a tenant and sees its rows only, or None for the whole platform."""

    name: str
    label: Text
    how: Text  # explains what it does
    run: Run
    problems: dict[str, CheckProblem]
    reach: Reach = Reach.EACH
    over: str = ""  # the figure without which the check had nothing to look at


BROKEN = "broken"  # the check itself could not run
COULD_NOT_RUN = CheckProblem(
    Text("The check could not run.", "该检查未能运行。"),
    Text(
        "Look in the log of the process that ran it; this is no evidence for anything.",
        "请查看运行该检查的进程日志；在此之前，它不能证明任何事项。",
    ),
)


def outcome(figures: dict[str, Any], **problems: object) -> CheckOutcome:
    """Returns the outcome with the first problem that is the case: `outcome(figures, late=n > 0)`.

    A list is the findings of its problem, and the page shows the first of them.
    """
    for name, findings in problems.items():
        if findings:
            listed = {"found": findings[:SHOWN]} if isinstance(findings, list) else {}
            return CheckOutcome(name, {**figures, **listed})
    return CheckOutcome("", figures)
