"""A runner's wait for work. The queue sends a note to an idle runner."""

import asyncio


class Idling:
    """`is_held`: requests wait for a slot that is kept free for higher classes.

    `is_leaving`: the runner has told the queue that it goes; no beat may follow.
    """

    def __init__(self) -> None:
        self.is_idle = self.is_held = self.is_leaving = False
        self._was_woken = False
        self._event = asyncio.Event()

    def wake(self) -> None:
        """There may be work: the runner asks the queue again."""
        self.is_idle = False
        self._event.set()

    def take_note(self) -> None:
        """The queue says that there is work. The note may overtake the answer to a pop."""
        self._was_woken = True
        self.wake()

    def look_again(self) -> None:
        """Let the runner look whether it can do something, unless it is idle."""
        if not self.is_idle:
            self._event.set()

    def interrupt(self) -> None:
        """End the wait, idle or not: the runner stops."""
        self._event.set()

    def before_pop(self) -> None:
        self._was_woken = False

    def after_pop(self, *, held: bool, again: bool) -> None:
        """Keep what a pop said that gave fewer requests than there are free slots."""
        self.is_idle = not (self._was_woken or again)
        self.is_held = held

    def slot_freed(self) -> None:
        """A request has ended; held ones may have waited for this slot."""
        if self.is_held:
            self.is_idle = False
        self.look_again()

    def clear(self) -> None:
        self._event.clear()

    async def wait(self, seconds: float) -> bool:
        """Return whether anything happened within `seconds`."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return False
        return True
