"""For Prometheus' operator: which pods it reads. The alert rules are those of deploy/prometheus."""

from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.network import OURS
from deploy.kubernetes.shapes import METRICS_TOKEN, TLS, labels
from deploy.kubernetes.words import Node, Reckoned, Spread, When, Whole, named, value

ON = value("monitoring.enabled")


_POD = "__meta_kubernetes_pod"
_COMPONENT = f"{_POD}_label_app_kubernetes_io_component"
# The labels that rules and dashboards know from a list of targets of `make run`.
AS_FOREBAY = [
    {"targetLabel": "job", "replacement": "forebay"},
    {"sourceLabels": [f"{_POD}_name"], "targetLabel": "process"},
    {"sourceLabels": [f"{_POD}_node_name"], "targetLabel": "host"},
    {"sourceLabels": [_COMPONENT], "regex": "(web|grpc|jobs)", "targetLabel": "role"},
    {
        "sourceLabels": [_COMPONENT],
        "regex": "(worker|engine)-.*",
        "targetLabel": "role",
        "replacement": "worker",
    },
]
# All pods have one certificate: that of a Service's name.
VERIFIED = {
    "ca": {"secret": {"name": TLS, "key": "ca.crt"}},
    "serverName": named("web"),
}
RULES = Path(__file__).parents[1] / "prometheus" / "rules"
DOCS = "https://forebay.example/docs"  # as the rules have it
ALERTS = "alerts.yaml"  # of the chart: templates in them are Prometheus', not Helm's


def monitors() -> list[Node]:
    return [When(ON, _figures()), When(ON, _alerts())]


def groups(docs: str = DOCS) -> list[dict[str, Any]]:
    """Of deploy/prometheus, with runbooks below `docs`."""
    texts = [path.read_text().replace(DOCS, docs) for path in sorted(RULES.glob("*.yml"))]
    return [group for text in texts for group in yaml.safe_load(text)["groups"]]


def _alerts() -> Node:
    docs = f'replace "{DOCS}" (trimSuffix "/" $.Values.monitoring.docs)'
    said = Reckoned(
        f'get ($.Files.Get "{ALERTS}" | {docs} | fromYaml) "groups" | toJson',
        lambda scope: groups(scope["monitoring"]["docs"].removesuffix("/")),
    )
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": named("alerts"),
            "labels": {**labels("monitoring"), Spread(): Whole(value("monitoring.labels"))},
        },
        "spec": {"groups": said},
    }


def _figures() -> Node:
    credentials = {"name": value("secrets.metrics"), "key": METRICS_TOKEN}
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
                    "scheme": When(TLS, "https"),
                    "tlsConfig": When(TLS, VERIFIED),
                    "interval": "15s",
                    "scrapeTimeout": "9s",
                    "authorization": {"type": "Bearer", "credentials": credentials},
                    "relabelings": AS_FOREBAY,
                }
            ],
        },
    }
