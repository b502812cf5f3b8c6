"""Pods of an engine: each loads its model, serves so many requests at once, drains, and goes."""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush

from bench.autoscaling.arrivals import Request


class State(Enum):
    LOADING = 1
    READY = 2
    DRAINING = 3


@dataclass(eq=False, slots=True)
class Pod:
    number: int
    began: float
    ready_at: float
    state: State = State.LOADING
    running: int = 0
    busy_s: float = 0.0  # with at least one request
    busy_since: float = 0.0

    def busy_until(self, at: float) -> float:
        return self.busy_s + (at - self.busy_since if self.running else 0.0)


@dataclass(slots=True)
class Cluster:
    slots: int
    load_s: float  # from the decision until a pod serves
    pods: list[Pod] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # of each request that has begun
    starts: deque[float] = field(default_factory=deque)  # while others waited, of late
    finished: int = 0
    gpu_s: float = 0.0
    _waiting: deque[Request] = field(default_factory=deque)
    _ends: list[tuple[float, int, Pod]] = field(default_factory=list)
    _count: int = 0

    def asked_for(self) -> int:
        return sum(pod.state is not State.DRAINING for pod in self.pods)

    def ready(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.state is State.READY]

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def scale(self, at: float, wanted: int, *, at_once: bool = False) -> None:
        """As a StatefulSet: the highest number goes first. One that serves drains."""
        while self.asked_for() < wanted:
            taken = {pod.number for pod in self.pods}
            number = next(n for n in range(1, 10_000) if n not in taken)
            self.pods.append(Pod(number, at, at if at_once else at + self.load_s))
        while self.asked_for() > wanted:
            stay = [pod for pod in self.pods if pod.state is not State.DRAINING]
            last = max(stay, key=lambda pod: pod.number)
            last.state = State.DRAINING
            self._go(at, last)

    def come(self, request: Request) -> None:
        self.until(request.at)
        self._waiting.append(request)
        self._fill(request.at)

    def until(self, at: float) -> None:
        """All that happens by then, in its order."""
        while True:
            ready = min((p.ready_at for p in self.pods if p.state is State.LOADING), default=at + 1)
            end = self._ends[0][0] if self._ends else at + 1
            if min(ready, end) > at:
                return
            if end <= ready:
                self._end(end)
            else:
                for pod in self.pods:
                    if pod.state is State.LOADING and pod.ready_at <= ready:
                        pod.state = State.READY
                self._fill(ready)

    def _end(self, at: float) -> None:
        _, _, pod = heappop(self._ends)
        pod.running -= 1
        self.finished += 1
        if not pod.running:
            pod.busy_s += at - pod.busy_since
        self._go(at, pod)
        self._fill(at)

    def _fill(self, at: float) -> None:
        while self._waiting:
            free = [pod for pod in self.ready() if pod.running < self.slots]
            if not free:
                return
            pod = min(free, key=lambda pod: pod.running)
            request = self._waiting.popleft()
            if at > request.at:
                self.starts.append(at)
            self.waits.append(at - request.at)
            if not pod.running:
                pod.busy_since = at
            pod.running += 1
            self._count += 1
            heappush(self._ends, (at + request.runs_s, self._count, pod))

    def _go(self, at: float, pod: Pod) -> None:
        """Its GPU is free again once nothing runs there."""
        if pod.state is State.DRAINING and not pod.running:
            self.pods.remove(pod)
            self.gpu_s += at - pod.began

    def close(self, at: float) -> None:
        self.gpu_s += sum(at - pod.began for pod in self.pods)

    def expected_wait(self, at: float) -> float:
        """As Forebay expects it: those that wait, by the pace of the last half minute."""
        while self.starts and self.starts[0] < at - 30:
            self.starts.popleft()
        if not self._waiting:
            return 0.0
        if self.starts:
            return len(self._waiting) * 30 / len(self.starts)
        return at - self._waiting[0].at
