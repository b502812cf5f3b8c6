"""The bytes of forms that this process holds, which it reads before it can know their sender.

They are a part of what the process may hold of all requests (intake/limits/unadmitted.py). The
first FREE bytes of each count for nothing: ordinary forms get through, however many large ones
somebody else sends. The number of connections bounds those.
"""

from collections import Counter
from collections.abc import Callable

from inference.intake.limits import unadmitted
from inference.intake.limits.unadmitted import FREE

MOST = 64 * 1024 * 1024  # of all addresses together
MOST_OF_ADDRESS = 8 * 1024 * 1024


class Bodies:
    def __init__(self, most: int = MOST, most_of_address: int = MOST_OF_ADDRESS) -> None:
        self._most, self._most_of_address = most, most_of_address
        self.by_address: Counter[str] = Counter()
        self.total = 0

    def take(self, address: str, size: int) -> bool:
        """Count the bytes, if there is room, and return whether there was. "" is no address."""
        if self.total + size > self._most:
            return False
        if address and self.by_address.get(address, 0) + size > self._most_of_address:
            return False
        if unadmitted.budget().take((), size):
            return False
        self.by_address[address] += size
        self.total += size
        return True

    def give_back(self, address: str, size: int) -> None:
        unadmitted.budget().give_back((), size)
        self.by_address[address] -= size
        self.total -= size
        if not self.by_address[address]:
            del self.by_address[address]


class Body:
    """A form's body, which counts until it is released.

    Its address is looked up for large ones alone; most are small.
    """

    def __init__(self, bodies: Bodies, whose: Callable[[], str]) -> None:
        self._bodies, self._whose = bodies, whose
        self._address, self._counted = "", 0

    def may_grow_to(self, size: int) -> bool:
        """Returns whether there is room for `size` bytes of it; fewer than before are free."""
        more = size - FREE - self._counted
        if more <= 0:
            return True
        self._address = self._address or self._whose()
        if not self._bodies.take(self._address, more):
            return False
        self._counted += more
        return True

    def release(self) -> None:
        if self._counted:
            self._bodies.give_back(self._address, self._counted)
            self._counted = 0
