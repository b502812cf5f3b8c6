"""The requests that a runner holds: leased, then running, perhaps cancelled on the way."""

from inference.order import Item
from inference.worker.handlers.base import Handler

Lease = tuple[Item, bytes]  # with the encrypted order; b"" for one that stands on record only


class Requests:
    """Each by its id."""

    def __init__(self) -> None:
        self.leased: dict[str, Lease] = {}
        self.running: dict[str, Handler] = {}
        self._cancelled: set[str] = set()

    def cancel(self, request_id: str) -> None:
        if handler := self.running.get(request_id):
            handler.cancel()
        elif request_id in self.leased:  # still on its way to its handler
            self._cancelled.add(request_id)

    def is_cancelled(self, request_id: str) -> bool:
        return request_id in self._cancelled

    def lose(self, item: Item) -> None:
        """Abandon a request whose lease is gone, unless it has come back to this runner."""
        handler = self.running.get(item.id)
        if handler and handler.item == item:
            handler.abandon()

    def release(self, lease: Lease) -> None:
        """Forget a request, unless it has come back under another lease meanwhile."""
        request_id = lease[0].id
        if self.leased.get(request_id) is lease:
            del self.leased[request_id]
            self.running.pop(request_id, None)
            self._cancelled.discard(request_id)
