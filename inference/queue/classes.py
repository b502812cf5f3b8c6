"""Classes of work: everything that makes one differ from another, in one table.

The queue's scripts get it as arguments, a runner asks it for the handler.
"Add a class of work" in CONTRIBUTING.md names what else a new one touches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

THOUSANDTHS = 1000


@dataclass(frozen=True, slots=True)
class WorkClass:
    """`minimum_share` and `ageing_s` let it go before higher classes that wait (pop.lua)."""

    name: str
    handler: str = "completion"  # in inference/worker/handlers
    minimum_share: float = 0.0  # of the requests that are handed out while it waits
    ageing_s: float | None = None  # each time so long without a turn it ranks one class higher


def table(*classes: WorkClass) -> dict[str, WorkClass]:
    return {each.name: each for each in classes}


# The highest first: a class waits for those above it.
CLASSES = table(
    WorkClass("realtime"),
    WorkClass("batch"),
    WorkClass("finetune"),
    WorkClass("preprocess"),
)


def names() -> list[str]:
    return list(CLASSES)


def turns() -> Iterable[str | int]:
    """As pop.lua wants them: name, minimum share in thousandths, ageing in ms or 0."""
    for each in CLASSES.values():
        yield each.name
        yield round(each.minimum_share * THOUSANDTHS)
        yield round((each.ageing_s or 0) * 1000)
