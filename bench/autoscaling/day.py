"""A day of requests, an autoscaler and its pods, and what came of it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from bench.autoscaling.arrivals import Request, day
from bench.autoscaling.cluster import Cluster
from bench.autoscaling.replicas import SYNC_S, Autoscaler, Metric, Of, PerPod
from bench.figures import percentile
from deploy.kubernetes import scaling, values
from deploy.kubernetes.words import plain

SLOTS, RUNS_S, MEAN_PER_S = 8, 20.0, 1.5  # 3 pods carry 1.2 requests/s, 10 of them 4
LOAD_MINUTES = 6.0
SAMPLE_S = 60.0
By = Callable[[float, Cluster, "Sampled"], Iterable[Metric]]


@dataclass(slots=True)
class Sampled:
    """What Prometheus has of a pod's GPU: a duty cycle, whatever it worked at meanwhile."""

    _at: float = 0.0
    _busy: dict[int, float] = field(default_factory=dict)
    gpu: list[float] = field(default_factory=list)  # percent, of pods that serve

    def take(self, at: float, cluster: Cluster) -> None:
        passed = max(at - self._at, 1.0)
        busy = {id(pod): pod.busy_until(at) for pod in cluster.ready()}
        self.gpu = [
            min(100.0, 100 * (now - self._busy.get(pod, 0.0)) / passed) for pod, now in busy.items()
        ]
        self._at, self._busy = at, busy


@dataclass(slots=True)
class Day:
    by: str
    requests: int
    finished: int
    p50_s: float
    p99_s: float
    longest_s: float
    gpu_hours: float
    most: int
    ups: int
    downs: int
    turns: int  # from more to fewer or back
    pods: list[int] = field(default_factory=list)  # asked for, by minutes
    load: list[float] = field(default_factory=list)  # slots that the requests of a minute need

    @property
    def unfinished(self) -> int:
        return self.requests - self.finished


def rules() -> Autoscaler:
    """As the chart has them by itself."""
    given = values.defaults()
    gpu = given["engines"][0]["gpu"]
    return Autoscaler(gpu["least"], gpu["most"], plain(scaling.behavior(), given))


_TOLD = values.defaults()["autoscaling"]


def gpu(_at: float, cluster: Cluster, sampled: Sampled) -> Iterator[Metric]:
    loading = cluster.asked_for() - len(sampled.gpu)
    yield PerPod(_TOLD["gpuUtilization"], sampled.gpu, max(0, loading))


def wait(at: float, cluster: Cluster, _sampled: Sampled) -> Iterator[Metric]:
    yield Of(_TOLD["waitSeconds"], cluster.expected_wait(at), len(cluster.ready()))


def slots(_at: float, cluster: Cluster, _sampled: Sampled) -> Iterator[Metric]:
    ready = cluster.ready()
    busy = sum(pod.running for pod in ready)
    share = 100 * busy / max(1, len(ready) * cluster.slots)
    yield Of(_TOLD["slotUtilization"], share, len(ready))


WAYS: dict[str, tuple[By, ...]] = {
    "always 3": (),
    "always 10": (),
    "GPU 80 % and wait": (gpu, wait),
    "wait": (wait,),
    "slots 80 % and wait": (slots, wait),
}


def simulated(
    by: str,
    *,
    hours: float = 24,
    load_minutes: float = LOAD_MINUTES,
    scaler: Autoscaler | None = None,
) -> Day:
    scaler = scaler or rules()
    if by.startswith("always"):
        scaler.least = scaler.most = int(by.split()[1])
    cluster, sampled = Cluster(SLOTS, load_minutes * 60), Sampled()
    cluster.scale(0.0, scaler.least, at_once=True)
    came, minutes = 0, list[int]()
    need = [0.0] * int(hours * 3600 / SAMPLE_S)
    sync = SYNC_S
    for request in [*day(MEAN_PER_S, RUNS_S, hours), Request(hours * 3600, 0.0)]:
        while sync <= request.at:
            cluster.until(sync)
            _sync(sync, by, cluster, sampled, scaler)
            if sync % SAMPLE_S == 0:
                minutes.append(cluster.asked_for())
            sync += SYNC_S
        if request.runs_s:
            came += 1
            need[int(request.at / SAMPLE_S)] += request.runs_s / SAMPLE_S
            cluster.come(request)
    over = hours * 3600
    cluster.until(over + 4 * 3600)  # what has come is finished
    cluster.close(over)
    return _told(by, came, cluster, minutes, need)


def _sync(at: float, by: str, cluster: Cluster, sampled: Sampled, scaler: Autoscaler) -> None:
    sampled.take(at, cluster)
    metrics = [metric for way in WAYS[by] for metric in way(at, cluster, sampled)]
    cluster.scale(at, scaler.decide(at, cluster.asked_for(), metrics))


def _told(by: str, came: int, cluster: Cluster, minutes: list[int], need: list[float]) -> Day:
    waits = sorted(cluster.waits)
    steps = [after - before for before, after in pairwise(minutes) if after != before]
    return Day(
        by=by,
        requests=came,
        finished=cluster.finished,
        p50_s=percentile(waits, 50) or 0.0,
        p99_s=percentile(waits, 99) or 0.0,
        longest_s=waits[-1],
        gpu_hours=cluster.gpu_s / 3600,
        most=max(minutes),
        ups=sum(step > 0 for step in steps),
        downs=sum(step < 0 for step in steps),
        turns=sum((a > 0) != (b > 0) for a, b in pairwise(steps)),
        pods=minutes,
        load=need,
    )
