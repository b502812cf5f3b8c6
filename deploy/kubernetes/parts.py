"""Which objects there are, by part: a file of the base or of a component, and of the chart."""

from typing import Any

from deploy.kubernetes import doors, engines, migration, monitoring, network, roles, scaling
from deploy.kubernetes.shapes import meta, variables
from deploy.kubernetes.words import Node, named

NAMESPACE = "forebay"
RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
}


def account() -> Node:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": meta(named("pods"), "pods"),
        "automountServiceAccountToken": False,
    }


def _map(name: str, data: dict[Any, Node]) -> Node:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta(named(name), "configuration"),
        "data": data,
    }


SETTINGS = _map("settings", variables())
ENGINES = _map("engines", {"engines.json": engines.ALL})
BASE: dict[str, list[Node]] = {
    "account": [account()],
    "storage": [roles.claim()],
    "web": roles.web(),
    "grpc": roles.grpc(),
    "jobs": roles.jobs(),
    "beat": roles.beat(),
    "network": network.policies(),
}
CONFIGURATION: dict[str, list[Node]] = {"configuration": [SETTINGS, ENGINES]}
ENGINE_PARTS: dict[str, list[Node]] = {
    "engines": engines.servers(),
    "workers": roles.workers_of_engines_elsewhere(),
}
COMPONENTS: dict[str, list[Node]] = {
    "ingress": doors.ingress(),
    "monitoring": monitoring.monitors(),
    "hpa": scaling.by_hpa(),
    "keda": scaling.by_keda(),
}
MIGRATION: dict[str, list[Node]] = {"migration": [migration.job()]}


def namespace() -> Node:
    labels = {"app.kubernetes.io/name": "forebay", **RESTRICTED}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": labels},
    }
