"""Classes of work: everything that makes one differ from another, in one table.

The queue's scripts get it as arguments, intake asks it for deadline and slot, a runner for the
handler. "Add a class of work" in CONTRIBUTING.md names what else a new one touches.
"""

from dataclasses import dataclass
from itertools import chain
from math import inf

from django.conf import settings

from tenants.key_scopes import Scope


@dataclass(frozen=True, slots=True)
class WorkClass:
    """`minimum_share` and `ageing_s` let it go before higher classes that wait (pop.lua).

    These and all limits below are those where settings or the pool say nothing else
    (inference/queue/limits.py).
    """

    name: str
    handler: str = "completion"  # in inference/worker/handlers
    deadline_s: float | None = None  # from receipt to answer; None: REQUEST_DEADLINE_S
    takes_slot: bool = True  # counts among the tenant's and the key's requests at once
    minimum_share: float = 0.05  # of the requests that are handed out, once it has waited for long:
    share_after_s: float = 60  # without a turn; then it has its share until nobody waits in it
    ageing_s: float | None = None  # each time so long without a turn it ranks one class higher
    has_headroom: bool = False  # slots are left free for what comes next (queue/limits.py)
    preemptible: bool = False  # gives its slot to a higher class that waits, and goes on later
    most_waiting: int = 50_000  # requests in a pool's queue
    longest_wait_s: float = 600  # that is expected of one that joins
    for_clients: bool = False  # may be asked for, by whose requests have a higher one
    scope: str = Scope.INFERENCE  # that a key must have
    waits_apart: bool = False  # its deadline is for waiting; it runs REQUEST_DEADLINE_S at most

    def deadline(self, now: float) -> float:
        """For a request received `now`; both in seconds since the epoch."""
        return now + (self.deadline_s or settings.REQUEST_DEADLINE_S)

    def run_deadline(self, deadline: float, began: float) -> float:
        """Of a request with this deadline that an engine `began`; in seconds since the epoch."""
        longest = settings.REQUEST_DEADLINE_S if self.waits_apart else inf
        return min(deadline, began + longest)

    @property
    def price_factor(self) -> float:
        factor: float = settings.PRICE_FACTORS.get(self.name, 1)
        return factor


def table(*classes: WorkClass) -> dict[str, WorkClass]:
    return {each.name: each for each in classes}


# The highest first: a class waits for those above it.
CLASSES = table(
    WorkClass(
        "realtime", most_waiting=5_000, longest_wait_s=120, for_clients=True, has_headroom=True
    ),
    WorkClass(
        "batch",
        deadline_s=24 * 3600,
        takes_slot=False,
        longest_wait_s=24 * 3600,
        scope=Scope.BATCH,
        waits_apart=True,
        for_clients=True,
        preemptible=True,
    ),
    WorkClass("finetune", preemptible=True),
    WorkClass("preprocess", preemptible=True),
)


# Plan (tenants.models.Tier), route ("*": any) and the class of such requests. The first line that
# fits counts; those of settings.WORK_CLASSES stand between these two lists.
ALWAYS: list[tuple[str, str, str]] = [("*", "/v1/batches", "batch")]
ASSIGNED: list[tuple[str, str, str]] = [("*", "*", "realtime")]


# Routes of requests, as they count, whatever a client wrote. Lines of batches have no choice.
ROUTES = (
    "chat",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/inference",
    "/forebay.v1.InferenceService/Inference",
    "/forebay.v1.InferenceService/InferenceStream",
    "/forebay.v1.InferenceService/Chat",
    "/forebay.v1.InferenceService/ChatStream",
    "/DeepSeekService/Inference",
)


def assigned(plan: str, route: str) -> str:
    for plans, routes, name in chain(ALWAYS, settings.WORK_CLASSES, ASSIGNED):
        if plans in ("*", plan) and routes in ("*", route):
            return name
    raise LookupError("the last line of ASSIGNED fits everything")


def lowerable(highest: str) -> list[str]:
    """The classes that a client may ask for whose requests have this one, itself among them."""
    return [
        each.name
        for each in CLASSES.values()
        if each.name == highest or (each.for_clients and rank(each.name) > rank(highest))
    ]


def of(name: str) -> WorkClass:
    """What holds by default for a class that has been taken out of the table."""
    return CLASSES.get(name) or WorkClass(name)


def rank(name: str) -> int:
    """0 for the highest; one that has been taken out of the table goes last."""
    return len(above(name))


def above(name: str) -> list[str]:
    """The classes that go before this one, the highest first."""
    found = list[str]()
    for known in CLASSES:
        if known == name:
            break
        found.append(known)
    return found


def longest_deadline_s() -> float:
    return max(each.deadline(0) for each in CLASSES.values())


def names() -> list[str]:
    return list(CLASSES)
