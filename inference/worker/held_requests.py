"""The requests that a runner holds."""

from inference.order import Item
from inference.worker.run.run import Run

Lease = tuple[Item, bytes]  # with the encrypted order; b"" for one that stands on record only


class HeldRequests:
    """Requests by their ids: leased, then running, perhaps cancelled on the way."""

    def __init__(self) -> None:
        self.leased: dict[str, Lease] = {}
        self.running: dict[str, Run] = {}
        self._cancelled: set[str] = set()

    def cancel(self, request_id: str) -> None:
        if run := self.running.get(request_id):
            run.cancel()
        elif request_id in self.leased:  # still on its way to its run
            self._cancelled.add(request_id)

    def is_cancelled(self, request_id: str) -> bool:
        return request_id in self._cancelled

    def lose(self, item: Item) -> None:
        """Abandon a request whose lease is gone, unless it has come back to this runner."""
        run = self.running.get(item.id)
        if run and run.item == item:
            run.abandon()

    def release(self, lease: Lease) -> None:
        """Forget a request, unless it has come back under another lease meanwhile."""
        request_id = lease[0].id
        if self.leased.get(request_id) is lease:
            del self.leased[request_id]
            self.running.pop(request_id, None)
            self._cancelled.discard(request_id)
