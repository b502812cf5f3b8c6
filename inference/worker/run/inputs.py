"""The start of a run: earlier results of its order, and the parts that its runner lends it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.cache.second_level import SecondLevel
from inference.engines import Pool
from inference.engines.base import EngineFull
from inference.record.consumption import NEVER, Parked
from inference.worker.guard import Guard
from inference.worker.run.checkpoints import Checkpoints

if TYPE_CHECKING:
    from inference.worker.preemption import Preemption


@dataclass
class EarlierAttempts:
    """Results of an order from before this attempt.

    `events`: those that readers have, or that were kept when it was parked.
    `parked`: what it had taken when it was parked last. `charged`: the same, as it began here.
    `step` and `state`: those of its checkpoint, if its class has them.
    """

    events: Sequence[bytes] = ()
    of_another_version: bool = False
    parked: Parked = NEVER
    charged: Parked = NEVER
    step: int = 0
    state: bytes = b""


@dataclass(frozen=True)
class RunServices:
    """Parts that a runner lends a run; in a test none.

    `checkpoints`: for a class of work that has them. `preemption` offers the slot to higher
    classes. `elsewhere` returns another pool that can take the order, `own_pool` its own while that
    takes requests. `note_full` hears of each 429 of the engine. `free_slot` is called as soon as
    the engine is free of a parked order. `answers` stores what may be sent again.
    """

    guard: Guard = field(default_factory=Guard)
    elsewhere: Callable[..., Pool | None] = lambda **_: None  # (in_house: bool = False)
    own_pool: Callable[[], Pool | None] = lambda: None
    note_full: Callable[[EngineFull], None] = lambda _failure: None
    free_slot: Callable[[], None] = lambda: None
    answers: SecondLevel | None = None
    checkpoints: Checkpoints | None = None
    preemption: "Preemption | None" = None
