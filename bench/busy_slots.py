"""How many slots of a pool are taken, looked at again and again while something else runs."""

import threading

from redis import Redis

EVERY_S = 0.05


class BusySlots:
    """Counts in Redis what runners hold. `with` starts and ends the looking."""

    def __init__(self, redis_url: str, pool: str, slots: int) -> None:
        self._taken = f"q:{{{pool}}}:on"
        self._redis = Redis.from_url(redis_url)
        self._slots = slots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.shares: list[float] = []  # of the slots, from 0 to 1

    def __enter__(self) -> "BusySlots":
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._over.set()
        self._thread.join()
        self._redis.close()

    def _look(self) -> None:
        while not self._over.wait(EVERY_S):
            self.shares.append(min(self._slots, int(self._redis.hlen(self._taken))) / self._slots)

    def mean(self) -> float:
        return sum(self.shares) / len(self.shares) if self.shares else 0.0

    def by_parts(self, parts: int) -> list[float]:
        """Means of as many equal parts of the time."""
        size = max(1, len(self.shares) // parts)
        cut = [self.shares[n * size : (n + 1) * size] for n in range(parts)]
        return [sum(part) / len(part) if part else 0.0 for part in cut]
