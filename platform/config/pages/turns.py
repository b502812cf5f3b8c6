"""Turns of pages: each page runs in a thread with its own connections to PostgreSQL.

Two lanes share a process's MOST running pages, and neither can have all of them: strangers, of whom
only the address is known, and those whose session or key this process has seen in use. In a lane a
caller who has had their turn goes behind all others that wait, so that nobody is kept waiting by
one who asks a thousand times.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence

MOST = 8
PATIENCE_S = 10.0
Turn = asyncio.Future[None]


class Busy(Exception):
    """Raised if no turn came within PATIENCE_S, or too many wait already."""


class Lane:
    """A lane of callers.

    At most `most` of their pages run, `of_one` of one caller; so many wait, in all and of one.
    """

    def __init__(self, most: int, of_one: int, *, waiting: int, waiting_of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._most_waiting, self._most_waiting_of_one = waiting, waiting_of_one
        self._running: Counter[str] = Counter()
        self._lines: OrderedDict[str, deque[Turn]] = OrderedDict()
        self.running = self.waiting = 0

    def admits(self, caller: str) -> bool:
        return self.running < self._most and self._running[caller] < self._of_one

    def begin(self, caller: str) -> None:
        self._running[caller] += 1
        self.running += 1

    def end(self, caller: str) -> None:
        self.running -= 1
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]

    def join(self, caller: str) -> Turn:
        """Returns a future that is done when it is this caller's turn. Raises Busy."""
        line = self._lines.get(caller, ())
        if self.waiting >= self._most_waiting or len(line) >= self._most_waiting_of_one:
            raise Busy
        turn: Turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(caller, deque()).append(turn)
        self.waiting += 1
        return turn

    def leave(self, caller: str, turn: Turn) -> None:
        line = self._lines[caller]
        line.remove(turn)
        self.waiting -= 1
        if not line:
            del self._lines[caller]

    def call_next(self) -> bool:
        """Begin the turn of the next caller who may run, and return whether there was one."""
        caller = next(filter(self.admits, self._lines), None)
        if caller is None:
            return False
        turn = self._lines[caller][0]
        self._lines.move_to_end(caller)
        self.leave(caller, turn)
        self.begin(caller)
        turn.set_result(None)
        return True


class Turns:
    def __init__(self, most: int, lanes: Sequence[Lane]) -> None:
        self._most, self._lanes = most, lanes

    def try_now(self, lane: Lane, caller: str) -> bool:
        """Begin a turn if one is free; those who wait could not have it."""
        if not (self._has_room() and lane.admits(caller)):
            return False
        lane.begin(caller)
        return True

    async def wait(self, lane: Lane, caller: str) -> None:
        """Wait for a turn, and begin it. Raises Busy."""
        turn = lane.join(caller)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn
        except TimeoutError:
            self._forget(lane, caller, turn)
            raise Busy from None
        except asyncio.CancelledError:
            self._forget(lane, caller, turn)
            raise

    def _forget(self, lane: Lane, caller: str, turn: Turn) -> None:
        """Leave the line, or end the turn if it came in the very moment of giving up."""
        if turn.done() and not turn.cancelled():
            self.give_back(lane, caller)
        else:
            lane.leave(caller, turn)

    def give_back(self, lane: Lane, caller: str) -> None:
        lane.end(caller)
        while self._has_room() and any(lane.call_next() for lane in self._lanes):
            pass

    def _has_room(self) -> bool:
        return sum(lane.running for lane in self._lanes) < self._most
