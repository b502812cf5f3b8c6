"""How many servers an engine has: by the use of its GPUs and by what one more request would wait.

Two ways, of which an installation has one: a HorizontalPodAutoscaler with prometheus-adapter, or
KEDA, which makes such an autoscaler itself. Both on one StatefulSet would undo each other's.
"""

from typing import Any

from deploy.kubernetes.engines import COMPONENT, NAME
from deploy.kubernetes.shapes import meta
from deploy.kubernetes.words import (
    RELEASE,
    Each,
    Node,
    Reckoned,
    Scope,
    When,
    joined,
    named,
    own,
    value,
)

GPU, SLOTS = "forebay_gpu_utilization", "forebay_slot_utilization"
WAIT = "forebay_realtime_wait"
TARGET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": named("engine-", NAME)}
UP_PERIOD_S = 60


def behavior() -> dict[str, Any]:
    """Up at once, by as many as there are; down one by one, once fewer were enough for long."""
    return {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": UP_PERIOD_S},
                {"type": "Pods", "value": 2, "periodSeconds": UP_PERIOD_S},
            ],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": value("autoscaling.downAfterSeconds"),
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
        },
    }


def by_hpa() -> list[Node]:
    found = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": meta(named("engine-", NAME), COMPONENT),
        "spec": {
            "scaleTargetRef": TARGET,
            "minReplicas": own("gpu.least"),
            "maxReplicas": own("gpu.most"),
            "metrics": [
                When(_load("gpu"), _gpu()),
                When(_load("slots"), _external(SLOTS, "slotUtilization")),
                _external(WAIT, "waitSeconds"),
            ],
            "behavior": behavior(),
        },
    }
    return [When(_is("hpa"), Each("gpu", found))]


def by_keda() -> list[Node]:
    found = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": meta(named("engine-", NAME), COMPONENT),
        "spec": {
            "scaleTargetRef": TARGET,
            "minReplicaCount": own("gpu.least"),
            "maxReplicaCount": own("gpu.most"),
            "pollingInterval": 15,
            # While Prometheus is away nothing is taken down, and there are enough for most days.
            "fallback": {
                "failureThreshold": 4,
                "replicas": own("gpu.least"),
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior()}},
            "triggers": [
                When(_load("gpu"), _asked("gpu", GPU_QUERY, "gpuUtilization", "AverageValue")),
                When(_load("slots"), _asked("slots", SLOTS_QUERY, "slotUtilization", "Value")),
                _asked("wait", WAIT_QUERY, "waitSeconds", "Value"),
            ],
        },
    }
    return [When(_is("keda"), Each("gpu", found))]


def _gpu() -> Node:
    """Of each pod; one that loads its model counts as idle before more, as busy before fewer."""
    return {
        "type": "Pods",
        "pods": {
            "metric": {"name": GPU},
            "target": {"type": "AverageValue", "averageValue": _quoted("gpuUtilization")},
        },
    }


def _external(name: str, target: str) -> Node:
    """Of the engine's pool."""
    selector = {"matchLabels": {"pool": NAME}}
    return {
        "type": "External",
        "external": {
            "metric": {"name": name, "selector": selector},
            "target": {"type": "Value", "value": _quoted(target)},
        },
    }


# The sum over pods: KEDA's AverageValue divides it by their number.
GPU_QUERY = joined(
    'sum(avg by (exported_pod) (DCGM_FI_DEV_GPU_UTIL{exported_pod=~"',
    RELEASE,
    "-engine-",
    NAME,
    '-[0-9]+"}))',
)
_EACH = "max by (engine) (forebay_engine_slots"  # each process of jobs tells of all
SLOTS_QUERY = joined(
    f'100 * sum({_EACH}_busy{{pool="', NAME, f'"}})) / sum({_EACH}{{pool="', NAME, '"}))'
)
WAIT_QUERY = joined(
    'max(forebay_expected_wait_seconds{pool="', NAME, '",class="realtime"}) or vector(0)'
)


def _asked(name: str, query: Node, threshold: str, kind: str) -> Node:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": kind,
        "metadata": {
            "serverAddress": value("autoscaling.prometheus"),
            "query": query,
            "threshold": _quoted(threshold),
        },
    }


def _quoted(name: str) -> Reckoned:
    found = value(f"autoscaling.{name}")
    return Reckoned(f"{found.template} | toString | quote", lambda scope: str(found.of(scope)))


def _load(word: str) -> Reckoned:
    def holds(scope: Scope) -> bool:
        return bool(scope["autoscaling"]["load"] == word)

    return Reckoned(f'eq $.Values.autoscaling.load "{word}"', holds)


def _is(word: str) -> Reckoned:
    def holds(scope: Scope) -> bool:
        return bool(scope["autoscaling"]["by"] == word)

    return Reckoned(f'eq $.Values.autoscaling.by "{word}"', holds)


def adapter() -> dict[str, Any]:
    """Values of prometheus-adapter's chart: figures by the names that the HPA asks for."""
    resources = {
        "exported_namespace": {"resource": "namespace"},
        "exported_pod": {"resource": "pod"},
    }
    gpu = {
        "seriesQuery": 'DCGM_FI_DEV_GPU_UTIL{exported_namespace!="",exported_pod!=""}',
        "resources": {"overrides": resources},
        "name": {"as": GPU},
        "metricsQuery": "avg by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})",
    }
    slots = {
        "seriesQuery": 'forebay_engine_slots{pool!=""}',
        "resources": {"namespaced": False},
        "name": {"as": SLOTS},
        "metricsQuery": f"100 * sum({_EACH}_busy{{<<.LabelMatchers>>}}))"
        f" / sum({_EACH}{{<<.LabelMatchers>>}}))",
    }
    wait = {
        "seriesQuery": 'forebay_expected_wait_seconds{pool!=""}',
        "resources": {"namespaced": False},
        "name": {"as": WAIT},
        "metricsQuery": 'max(<<.Series>>{class="realtime",<<.LabelMatchers>>}) or vector(0)',
    }
    return {"rules": {"default": False, "custom": [gpu], "external": [slots, wait]}}
