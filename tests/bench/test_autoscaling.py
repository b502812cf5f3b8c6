"""The autoscaler's decision is Kubernetes', and over a day it does what the docs say."""

from functools import cache

import pytest

from bench.autoscaling.arrivals import Request
from bench.autoscaling.cluster import Cluster, State
from bench.autoscaling.day import LOAD_MINUTES, Day, rules, simulated
from bench.autoscaling.replicas import Autoscaler, Of, PerPod

pytestmark = pytest.mark.unit


# The algorithm: https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ --------
@pytest.mark.parametrize(
    ("values", "wants"),
    [
        ([80.0] * 4, 4),
        ([87.0] * 4, 4),  # within the tolerance
        ([100.0] * 4, 5),
        ([40.0] * 4, 2),
        ([0.0] * 4, 0),
    ],
)
def test_pods_by_the_mean_of_a_metric(values: list[float], wants: int) -> None:
    assert PerPod(80, values).wants(now=4) == wants


def test_pods_that_load_hold_it_back() -> None:
    """Three at 100 % of 80 want four; with one that loads already there are enough."""
    assert PerPod(80, [100.0] * 3).wants(now=3) == 4
    assert PerPod(80, [100.0] * 3, loading=1).wants(now=4) == 4


def test_pods_that_load_are_no_reason_to_have_fewer() -> None:
    assert PerPod(80, [60.0] * 3).wants(now=3) == 3
    assert PerPod(80, [20.0] * 3, loading=3).wants(now=6) == 4  # they count as at the target


@pytest.mark.parametrize(("value", "wants"), [(0.0, 0), (2.1, 5), (4.0, 6), (40.0, 60)])
def test_pods_by_a_value_of_all(value: float, wants: int) -> None:
    assert Of(2, value, ready=3).wants(now=5) == wants


def _scaler(window_s: int = 60) -> Autoscaler:
    up = {"stabilizationWindowSeconds": 0, "policies": [_policy("Pods", 2, 60)]}
    down = {"stabilizationWindowSeconds": window_s, "policies": [_policy("Pods", 1, 30)]}
    return Autoscaler(3, 10, {"scaleUp": up, "scaleDown": down})


def _policy(kind: str, value: int, period: int) -> dict[str, object]:
    return {"type": kind, "value": value, "periodSeconds": period}


def test_policies_say_how_fast() -> None:
    scaler, now, seen = _scaler(), 3, list[int]()
    for at in range(0, 90, 15):
        now = scaler.decide(at, now, [Of(1, 9.0, 1)])
        seen.append(now)
    assert seen == [5, 5, 5, 5, 7, 7]


def test_fewer_only_when_fewer_were_enough_all_the_time() -> None:
    scaler, now, seen = _scaler(), 6, list[int]()
    for at, value in enumerate([6.0, 3.0, 6.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]):
        now = scaler.decide(at * 15.0, now, [Of(1, value, 1)])
        seen.append(now)
    assert seen == [6, 6, 6, 6, 6, 6, 5, 5, 4]


def test_never_outside_of_its_bounds() -> None:
    scaler = _scaler(0)
    assert scaler.decide(0, 10, [Of(1, 99.0, 1)]) == 10
    assert scaler.decide(60, 3, [Of(1, 0.0, 1)]) == 3


# Pods ---------------------------------------------------------------------------------------------
def test_a_pod_serves_once_its_model_is_loaded() -> None:
    cluster = Cluster(slots=1, load_s=100)
    cluster.scale(0, 1)
    cluster.come(Request(at=10, runs_s=5))
    cluster.until(200)
    assert (cluster.waits, cluster.finished) == ([90.0], 1)


def test_a_pod_that_goes_takes_nothing_more_and_finishes_what_it_has() -> None:
    cluster = Cluster(slots=1, load_s=0)
    cluster.scale(0, 2)
    for at in (1.0, 2.0):
        cluster.come(Request(at=at, runs_s=50))
    cluster.scale(3, 1)
    assert [pod.state for pod in cluster.pods] == [State.READY, State.DRAINING]
    cluster.come(Request(at=4, runs_s=1))  # waits for the pod that stays
    cluster.until(51)
    assert cluster.finished == 1
    cluster.until(60)
    assert cluster.finished == 3
    assert len(cluster.pods) == 1
    assert max(cluster.waits) == pytest.approx(47)


# A day --------------------------------------------------------------------------------------------
@cache
def _by_slots() -> Day:
    return simulated("slots 80 % and wait")


def test_no_request_is_lost_while_pods_come_and_go() -> None:
    day = _by_slots()
    assert day.unfinished == 0
    assert day.downs > 5
    assert day.most == 10


def test_it_does_not_flap() -> None:
    assert _by_slots().turns <= 12  # from more to fewer or back, in a day with two bursts


def test_the_wait_stays_bounded_although_models_have_to_be_loaded() -> None:
    day = _by_slots()
    assert day.p99_s < 1
    assert day.longest_s < LOAD_MINUTES * 60 / 10


def test_it_costs_less_than_ten_all_day() -> None:
    assert _by_slots().gpu_hours < 0.8 * 240


def test_how_long_gpus_work_says_nothing_of_how_much() -> None:
    """One answer makes a GPU busy all the time: from the first minutes there are ten."""
    day = simulated("GPU 80 % and wait", hours=1)
    assert set(day.pods[10:]) == {10}
    assert max(day.load) / 8 < 3  # three would do


def test_the_chart_waits_longer_than_a_model_takes_to_load() -> None:
    down = rules().behavior["scaleDown"]
    assert down["stabilizationWindowSeconds"] > LOAD_MINUTES * 60
