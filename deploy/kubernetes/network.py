"""Who may talk to whom. A pod may do nothing that is not said here."""

import json

from deploy.kubernetes.shapes import METRICS, meta
from deploy.kubernetes.words import (
    NAME,
    RELEASE,
    Node,
    Reckoned,
    Times,
    When,
    Whole,
    joined,
    named,
    value,
)

OURS = {"app.kubernetes.io/name": "forebay", "app.kubernetes.io/instance": joined(RELEASE)}
ON = value("networkPolicies.enabled")
DNS = {
    "to": [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}
SERVERS, OUTSIDE = value("networkPolicies.servers"), value("networkPolicies.outside")
# "Everywhere" is the internet: no pod, no host beside us, no metadata of clouds (169.254.0.0/16),
# where keys of the node lie. Kubernetes takes as an exception only what the block has in it.
PRIVATE = {
    "0.0.0.0/0": [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    ],
    "::/0": ["::1/128", "fc00::/7", "fe80::/10"],
}
IS_EVERYWHERE = Reckoned(
    'has $name (list "0.0.0.0/0" "::/0")', lambda scope: scope["name"] in PRIVATE
)
NOT_THERE = Reckoned(
    f"get (fromJson `{json.dumps(PRIVATE)}`) $name | toJson", lambda scope: PRIVATE[scope["name"]]
)


def policies() -> list[Node]:
    found = [
        _policy("default-deny", {"podSelector": {"matchLabels": OURS}, "policyTypes": _BOTH}),
        _names(),
        When(SERVERS, _servers()),  # a rule without addresses would be one for all of them
        When(OUTSIDE, _outside()),
        _doors(),
        _figures(),
        _to_engines(),
        _of_engines(),
    ]
    return [When(ON, each) for each in found]


_BOTH = ["Ingress", "Egress"]


def _policy(name: str, spec: dict[str, Node]) -> Node:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta(named(name), "network"),
        "spec": spec,
    }


def _names() -> Node:
    spec = {"podSelector": {"matchLabels": OURS}, "policyTypes": ["Egress"], "egress": [DNS]}
    return _policy("may-resolve", spec)


def _servers() -> Node:
    to = [Times(SERVERS, {"ipBlock": {"cidr": joined(NAME)}})]
    egress = {"to": to, "ports": Whole(value("networkPolicies.serverPorts"))}
    spec = {"podSelector": {"matchLabels": OURS}, "policyTypes": ["Egress"], "egress": [egress]}
    return _policy("may-reach-servers", spec)


def _outside() -> Node:
    """HTTPS, for all but engines' pods. Private networks are reached only where they are named."""
    port = {"protocol": "TCP", "port": 443}
    where = {
        "matchLabels": OURS,
        "matchExpressions": [
            {"key": "forebay/role", "operator": "NotIn", "values": ["engine"]},
            {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["migrate"]},
        ],
    }
    block = {"cidr": joined(NAME), "except": When(IS_EVERYWHERE, NOT_THERE)}
    to = [Times(OUTSIDE, {"ipBlock": block})]
    egress = {"to": to, "ports": [port]}
    spec = {"podSelector": where, "policyTypes": ["Egress"], "egress": [egress]}
    return _policy("may-reach-outside", spec)


def _doors() -> Node:
    """The ingress controller reaches web and gRPC."""
    controller = {
        "namespaceSelector": {
            "matchLabels": {
                "kubernetes.io/metadata.name": value("networkPolicies.ingressNamespace")
            }
        }
    }
    where = {
        "matchLabels": OURS,
        "matchExpressions": [
            {"key": "app.kubernetes.io/component", "operator": "In", "values": ["web", "grpc"]}
        ],
    }
    ports = [{"protocol": "TCP", "port": 8000}, {"protocol": "TCP", "port": 50051}]
    ingress = {"from": [controller], "ports": ports}
    spec = {"podSelector": where, "policyTypes": ["Ingress"], "ingress": [ingress]}
    return _policy("doors", spec)


def _figures() -> Node:
    """Prometheus reads the figures. (Probes come from the node, which no policy stops.)"""
    prometheus = {
        "namespaceSelector": {
            "matchLabels": {
                "kubernetes.io/metadata.name": value("networkPolicies.monitoringNamespace")
            }
        }
    }
    ingress = {"from": [prometheus], "ports": [{"protocol": "TCP", "port": METRICS}]}
    spec = {
        "podSelector": {"matchLabels": OURS},
        "policyTypes": ["Ingress"],
        "ingress": [ingress],
    }
    return _policy("figures", spec)


_ENGINE = {"matchLabels": {**OURS, "forebay/role": "engine"}}
_ASKERS = {
    "matchLabels": OURS,
    "matchExpressions": [
        {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["beat", "migrate"]}
    ],
}
_VLLM = [{"protocol": "TCP", "port": 8000}]


def _to_engines() -> Node:
    """Web, gRPC and jobs look whether an engine answers; workers, its own and others, ask it."""
    egress = {"to": [{"podSelector": _ENGINE}], "ports": _VLLM}
    spec = {"podSelector": _ASKERS, "policyTypes": ["Egress"], "egress": [egress]}
    return _policy("may-reach-engines", spec)


def _of_engines() -> Node:
    ingress = {"from": [{"podSelector": _ASKERS}], "ports": _VLLM}
    spec = {"podSelector": _ENGINE, "policyTypes": ["Ingress"], "ingress": [ingress]}
    return _policy("engines", spec)
