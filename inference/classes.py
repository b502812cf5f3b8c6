"""Classes of work: all their differences, in one table.

The queue's scripts get them as arguments, intake reads deadline and slot, a runner the handler.
"Add a class of work" in CONTRIBUTING.md lists all else that a new one needs.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from math import inf

from django.conf import settings

from tenants.key_scopes import Scope


@dataclass(frozen=True, slots=True)
class WorkClass:
    """A class of work.

    `minimum_share` and `ageing_s` let it go before higher classes (queue/pop.lua).

    These and all limits below are defaults: settings and pools may override them
    (inference/queue/limits.py).
    """

    name: str
    handler: str = "completion"  # in inference/worker/handlers
    deadline_s: float | None = None  # from receipt to answer; None: REQUEST_DEADLINE_S
    most_attempts: int = 3  # that may end in the death of a worker; with checkpoints: since a step
    takes_slot: bool = True  # counts among the tenant's and the key's requests at once
    minimum_share: float = 0.05  # of the requests that start, once it has waited for long:
    share_after_s: float = 60  # without a turn; then it gets its share until it is empty
    ageing_s: float | None = None  # each time so long without a turn it ranks one class higher
    has_headroom: bool = False  # slots are left free for its next requests (queue/limits.py)
    preemptible: bool = False  # gives its slot to a waiting higher class, and resumes later
    checkpoints: bool = (
        False  # goes on after its last step, on any worker (worker/handlers/stepwise.py)
    )
    most_waiting: int = 50_000  # requests in a pool's queue
    longest_wait_s: float = 600  # expected wait of a request that joins
    for_clients: bool = False  # clients with a higher class may choose it
    scope: str = Scope.INFERENCE  # required of a key
    waits_apart: bool = (
        False  # the deadline bounds waiting only; a run lasts REQUEST_DEADLINE_S at most
    )

    def deadline(self, now: float) -> float:
        """Returns the deadline of a request received `now`; both in seconds since the epoch."""
        return now + (self.deadline_s or settings.REQUEST_DEADLINE_S)

    def run_deadline(self, deadline: float, began: float) -> float:
        """Returns the deadline of a run that `began`, in seconds since the epoch."""
        longest = settings.REQUEST_DEADLINE_S if self.waits_apart else inf
        return min(deadline, began + longest)

    @property
    def serves_completions(self) -> bool:
        """Returns whether plans and routes may give it to completions."""
        return self.handler == "completion"

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
    WorkClass(
        "evaluation",
        handler="evaluation",
        deadline_s=24 * 3600,
        takes_slot=False,
        longest_wait_s=24 * 3600,
        preemptible=True,
        checkpoints=True,
    ),
)


# Plan (tenants.models.Tier), route ("*": any) and the class of such requests. The first matching
# line counts; settings.WORK_CLASSES come between these two lists.
ALWAYS: list[tuple[str, str, str]] = [("*", "/v1/batches", "batch")]
ASSIGNED: list[tuple[str, str, str]] = [("*", "*", "realtime")]


# Routes of requests, with aliases resolved. Lines of batches have a fixed class.
ROUTES = (
    "chat",
    "playground",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/inference",
    "/v1/messages",
    "/v1/responses",
    "/v1/responses/compact",
    "/v1/decisions",
    "/v1/embeddings",
    "/v1/rerank",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/forebay.v1.InferenceService/Inference",
    "/forebay.v1.InferenceService/InferenceStream",
    "/forebay.v1.InferenceService/Chat",
    "/forebay.v1.InferenceService/ChatStream",
    "/forebay.v1.DecisionService/Decide",
    "/DeepSeekService/Inference",
)


def assigned(plan: str, route: str) -> str:
    for plans, routes, name in chain(ALWAYS, settings.WORK_CLASSES, ASSIGNED):
        if plans in ("*", plan) and routes in ("*", route):
            return name
    raise LookupError("the last line of ASSIGNED fits everything")


def lowerable(highest: str) -> list[str]:
    """Returns the classes that a client with this one may choose, including itself."""
    return [
        each.name
        for each in CLASSES.values()
        if each.name == highest or (each.for_clients and rank(each.name) > rank(highest))
    ]


# Orders of jobs (inference/jobs) have this route. They wait in the line of their class, and are
# long work there, whatever else the class has.
JOB = "job"
JOB_DEADLINE_S = 30 * 24 * 3600.0


def of(name: str, route: str = "") -> WorkClass:
    """Returns the class; defaults for one that has been removed from the table.

    With a `route`, as it treats orders of that route.
    """
    own = CLASSES.get(name) or WorkClass(name)
    return _of_jobs(own) if route == JOB else own


@lru_cache(16)
def _of_jobs(own: WorkClass) -> WorkClass:
    return replace(own, handler=JOB, checkpoints=True, takes_slot=False, deadline_s=JOB_DEADLINE_S)


def rank(name: str) -> int:
    """Returns 0 for the highest; one that has been removed from the table comes last."""
    return len(above(name))


def above(name: str) -> list[str]:
    """Returns the classes that go before this one, the highest first."""
    higher = list[str]()
    for each in CLASSES:
        if each == name:
            break
        higher.append(each)
    return higher


def longest_deadline_s() -> float:
    return max(each.deadline(0) for each in CLASSES.values())


def names() -> list[str]:
    return list(CLASSES)
