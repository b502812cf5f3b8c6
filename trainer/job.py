"""What a kind's module gets to do its work: the order, its events, and the wish to pause."""

import signal
from dataclasses import dataclass, field
from threading import Event

from trainer.events import Events
from trainer.order import Order
from trainer.refusals import Paused


@dataclass(frozen=True, slots=True)
class Job:
    order: Order
    events: Events
    stopping: Event = field(default_factory=Event)

    def listen(self) -> None:
        """Takes SIGTERM as the wish to pause."""
        signal.signal(signal.SIGTERM, lambda *_signal: self.stopping.set())

    def pause_if_asked(self) -> None:
        """Ends work that has no state to keep; work with checkpoints writes one first."""
        if self.stopping.is_set():
            raise Paused
