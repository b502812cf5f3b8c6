"""For Prometheus' operator: which pods it reads. The alert rules are those of deploy/prometheus."""

from deploy.kubernetes.network import OURS
from deploy.kubernetes.shapes import labels
from deploy.kubernetes.words import Node, Spread, When, Whole, named, value

ON = value("monitoring.enabled")


def monitors() -> list[Node]:
    return [When(ON, _figures())]


def _figures() -> Node:
    credentials = {"name": value("secrets.name"), "key": "FOREBAY_METRICS_TOKEN"}
    relabelled = [
        {
            "sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_component"],
            "targetLabel": "process",
        }
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {
            "name": named("pods"),
            "labels": {**labels("monitoring"), Spread(): Whole(value("monitoring.labels"))},
        },
        "spec": {
            "selector": {"matchLabels": OURS},
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "path": "/metrics",
                    "interval": "15s",
                    "scrapeTimeout": "9s",
                    "authorization": {"type": "Bearer", "credentials": credentials},
                    "relabelings": relabelled,
                }
            ],
        },
    }
