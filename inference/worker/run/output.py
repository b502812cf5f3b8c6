"""The output of a run for its readers: numbered events in frames."""

from collections.abc import Sequence

from inference.engines.base import Engine, EngineFailed
from inference.errors import error_body
from inference.order import Item, Order
from inference.stream import frames
from inference.stream.frames import Frame, Kind


class Output:
    """`events`: all of the order so far, those of earlier attempts first.

    `sent` counts the events that readers have; `watched` those that pages have been told of.
    """

    def __init__(self, order: Order, item: Item, engine: Engine, events: Sequence[bytes]) -> None:
        self._order, self._attempt, self._engine = order, item.attempt, engine
        self.events = list(events)
        self.sent = self.watched = len(self.events)
        self.preemptions = 0
        self._names_engine = True  # the next frame

    def name_engine_again(self) -> None:
        """Name the engine in the next frame: resuming from it needs the version that began."""
        self._names_engine = True

    def frame(self, kind: Kind, body: bytes, status: int = 200, retry_after: int = 0) -> Frame:
        """Return a frame that ends with the last of the events sent."""
        upstream = ""
        if kind or self._names_engine:
            config = self._engine.config
            upstream = frames.upstream(self._order.queue, config.id, config.kind, config.version)
        self._names_engine = False
        return Frame(
            self._order.id.bytes,
            self._attempt,
            self.sent,
            kind,
            body,
            status,
            retry_after,
            upstream,
            self.preemptions,
        )

    def error_frame(self, failure: EngineFailed) -> Frame:
        self.sent += 1
        body = error_body(failure.message, failure.code, failure.status)
        return self.frame(Kind.ERROR, body, failure.status, failure.retry_after)
