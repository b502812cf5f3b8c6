"""Schemas of every object: Kubernetes' own, and of operators' kinds as much as we use and no more.

kubernetes-validate knows Kubernetes' kinds alone, and an operator drops a field that it does not
know, without a word. Sources: https://prometheus-operator.dev/docs/api-reference/api/ and
https://keda.sh/docs/latest/reference/scaledobject-spec/.
"""

from collections.abc import Iterable
from typing import Any

import jsonschema
import kubernetes_validate

OLDEST = "1.31"  # Chart.yaml
Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "minLength": 1}
WHOLE: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "string", "pattern": r"^(\d+(ms|[smhd]))+$"}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def closed(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def several(each: Schema) -> Schema:
    return {"type": "array", "items": each, "minItems": 1}


def kind(group: str, spec: Schema) -> Schema:
    metadata = closed({"name": TEXT}, labels=TEXTS, annotations=TEXTS, namespace=TEXT)
    return closed({"apiVersion": one_of(group), "kind": TEXT, "metadata": metadata, "spec": spec})


_KEY = closed({"name": TEXT, "key": TEXT})
_RELABELING = closed(
    {"targetLabel": TEXT}, sourceLabels=several(TEXT), regex=TEXT, replacement=TEXT
)
_ENDPOINT = closed(
    {"port": TEXT, "path": TEXT},
    scheme=one_of("http", "https"),
    tlsConfig=closed({"ca": closed({"secret": _KEY})}, serverName=TEXT),
    interval=DURATION,
    scrapeTimeout=DURATION,
    authorization=closed({"credentials": _KEY}, type=TEXT),
    relabelings=several(_RELABELING),
)
_RULE = {
    "oneOf": [
        closed({"record": TEXT, "expr": TEXT}, labels=TEXTS),
        closed(
            {"alert": TEXT, "expr": TEXT},
            labels=TEXTS,
            annotations=TEXTS,
            keep_firing_for=DURATION,
            **{"for": DURATION},
        ),
    ]
}
_POLICY = closed({"type": one_of("Pods", "Percent"), "value": WHOLE, "periodSeconds": WHOLE})
_WAY = closed(
    {"policies": several(_POLICY)},
    stabilizationWindowSeconds=WHOLE,
    selectPolicy=one_of("Max", "Min", "Disabled"),
)
_FALLBACK = closed(
    {"failureThreshold": WHOLE, "replicas": WHOLE},
    behavior=one_of(
        "static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"
    ),
)
_TRIGGER = closed(
    {
        "type": one_of("prometheus"),
        "metadata": closed({"serverAddress": TEXT, "query": TEXT, "threshold": TEXT}),
    },
    name=TEXT,
    metricType=one_of("AverageValue", "Value"),
)

SCHEMAS = {
    "PodMonitor": kind(
        "monitoring.coreos.com/v1",
        closed(
            {
                "selector": closed({"matchLabels": TEXTS}),
                "podMetricsEndpoints": several(_ENDPOINT),
            }
        ),
    ),
    "PrometheusRule": kind(
        "monitoring.coreos.com/v1",
        closed(
            {"groups": several(closed({"name": TEXT, "rules": several(_RULE)}, interval=DURATION))}
        ),
    ),
    # https://cloudnative-pg.io/docs/current/cloudnative-pg.v1
    "Cluster": kind(
        "postgresql.cnpg.io/v1",
        closed(
            {
                "instances": WHOLE,
                "imageName": TEXT,
                "postgresql": closed(
                    {
                        "synchronous": closed(
                            {
                                "method": one_of("any", "first"),
                                "number": WHOLE,
                                "dataDurability": one_of("required", "preferred"),
                                "failoverQuorum": {"type": "boolean"},
                            }
                        ),
                        "parameters": TEXTS,
                    }
                ),
                "storage": closed({"size": TEXT}, storageClass=TEXT),
            },
            failoverDelay=WHOLE,
            switchoverDelay=WHOLE,
            primaryUpdateStrategy=one_of("unsupervised", "supervised"),
            primaryUpdateMethod=one_of("switchover", "restart"),
            enablePDB={"type": "boolean"},
            enableSuperuserAccess={"type": "boolean"},
            superuserSecret=closed({"name": TEXT}),
            topologySpreadConstraints=several(
                closed(
                    {
                        "maxSkew": WHOLE,
                        "topologyKey": TEXT,
                        "whenUnsatisfiable": one_of("DoNotSchedule", "ScheduleAnyway"),
                        "labelSelector": closed({"matchLabels": TEXTS}),
                    }
                )
            ),
            affinity=closed(
                {"enablePodAntiAffinity": {"type": "boolean"}},
                podAntiAffinityType=one_of("required", "preferred"),
                topologyKey=TEXT,
            ),
            bootstrap=closed(
                {
                    "initdb": closed(
                        {"database": TEXT, "owner": TEXT},
                        encoding=TEXT,
                        dataChecksums={"type": "boolean"},
                    )
                }
            ),
            managed=closed(
                {
                    "roles": several(
                        closed(
                            {"name": TEXT},
                            ensure=one_of("present", "absent"),
                            login={"type": "boolean"},
                            passwordSecret=closed({"name": TEXT}),
                        )
                    )
                }
            ),
            resources={"type": "object"},
        ),
    ),
    "ScaledObject": kind(
        "keda.sh/v1alpha1",
        closed(
            {
                "scaleTargetRef": closed({"apiVersion": TEXT, "kind": TEXT, "name": TEXT}),
                "triggers": several(_TRIGGER),
            },
            minReplicaCount=WHOLE,
            maxReplicaCount=WHOLE,
            pollingInterval=WHOLE,
            fallback=_FALLBACK,
            advanced=closed(
                {
                    "horizontalPodAutoscalerConfig": closed(
                        {"behavior": closed({"scaleUp": _WAY, "scaleDown": _WAY})}
                    )
                }
            ),
        ),
    ),
}


def validate(objects: Iterable[dict[str, Any]]) -> None:
    """Raises a validation error for an object that its schema does not permit."""
    for one in objects:
        if one["kind"] in SCHEMAS:
            jsonschema.validate(one, SCHEMAS[one["kind"]])
        else:
            kubernetes_validate.validate(one, OLDEST, strict=True)
