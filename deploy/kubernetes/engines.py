"""vLLM servers of the platform's own: pods of each engine with `gpu`, and what all know of them.

A pod has a server and its worker. The server is a sidecar (an init container that goes on): so the
worker starts once the model is loaded, and ends before the server does. It says itself when its
engine takes requests and when not any more (`elastic`), so an engine without a pod is sent none.
"""

import json
from typing import Any

from deploy.kubernetes.roles import probes
from deploy.kubernetes.shapes import (
    CONTAINER,
    METRICS,
    asks,
    container,
    kept_up,
    labels,
    meta,
    ports,
    spread,
    template,
    waits_for_tables,
)
from deploy.kubernetes.words import (
    Each,
    Node,
    Reckoned,
    Scope,
    Spread,
    When,
    Whole,
    joined,
    named,
    own,
)

PORT = 8000
NAME = own("name")
COMPONENT = joined("engine-", NAME)
NUMBER = {"fieldPath": "metadata.labels['apps.kubernetes.io/pod-index']"}
# Text by text: toJson alone would sort the pools, and their order is that in which they are tried.
ENGINES_HELPER = """\
{{- define "forebay.engines" -}}
{{- $names := list }}
{{- range $engine := $.Values.engines }}{{- $names = append $names $engine.model }}{{- end }}
{{- $models := list }}
{{- range $name := uniq $names }}
{{- $pools := list }}
{{- range $engine := $.Values.engines }}{{- if eq $engine.model $name }}
{{- $fields := dict "kind" $engine.kind "slots" $engine.slots }}
{{- if $engine.gpu }}
{{- $host := printf "%s-engine-%s" $.Release.Name $engine.name }}
{{- $servers := list }}
{{- range $n := untilStep 1 (int (add1 (int $engine.gpu.most))) 1 }}
{{- $servers = append $servers (dict "url" (printf "http://%s-%d.%s:8000/v1" $host $n $host)) }}
{{- end }}
{{- $fields = merge $fields (dict "elastic" true "engines" $servers) }}
{{- else }}
{{- $fields = merge $fields (dict "url" $engine.url) }}
{{- end }}
{{- $fields = merge $fields (deepCopy (default (dict) $engine.options)) }}
{{- $pools = append $pools (printf "%s:%s" (toJson $engine.name) (toJson $fields)) }}
{{- end }}{{- end }}
{{- $models = append $models (printf "%s:{\\"pools\\":{%s}}" (toJson $name) (join "," $pools)) }}
{{- end }}
{{- printf "{%s}" (join "," $models) }}
{{- end }}
"""


def servers() -> list[Node]:
    """Of each engine: a StatefulSet, whose pods have names of their own, and their addresses."""
    return [
        Each("gpu", _stateful_set()),
        Each("gpu", _addresses()),
        Each("gpu", kept_up(named("engine-", NAME), COMPONENT)),
    ]


def known(scope: Scope) -> dict[str, Any]:
    """FOREBAY_ENGINES: as many servers of each as there can be."""
    models: dict[str, Any] = {}
    for engine in scope["engines"]:
        fields: dict[str, Any] = {"kind": engine["kind"], "slots": engine["slots"]}
        if gpu := engine.get("gpu"):
            host = f"forebay-engine-{engine['name']}"
            addresses = [f"http://{host}-{n}.{host}:{PORT}/v1" for n in range(1, gpu["most"] + 1)]
            fields |= {"elastic": True, "engines": [{"url": one} for one in addresses]}
        else:
            fields["url"] = engine["url"]
        pools = models.setdefault(engine["model"], {"pools": {}})["pools"]
        pools[engine["name"]] = {**engine.get("options", {}), **fields}
    return models


NOT_SCALED = Reckoned(
    'eq $.Values.autoscaling.by "none"', lambda scope: bool(scope["autoscaling"]["by"] == "none")
)
ALL = Reckoned(
    'include "forebay.engines" $ | toJson',
    lambda scope: json.dumps(known(scope)),
)


def _stateful_set() -> Node:
    main = container(
        "forebay",
        ["worker", joined(NAME, ".$(POD_NUMBER)")],
        "worker",
        env=[{"name": "POD_NUMBER", "valueFrom": {"fieldRef": NUMBER}}],
        ports=ports(metrics=METRICS),
        **probes(),
    )
    pod = template(
        COMPONENT,
        [main],
        before=[waits_for_tables("worker"), _server()],
        volumes=_volumes(),
        nodeSelector=Whole(own("gpu.nodeSelector")),
        tolerations=Whole(own("gpu.tolerations")),
        topologySpreadConstraints=spread(COMPONENT),
    )
    pod["metadata"]["labels"] = {**labels(COMPONENT), "forebay/role": "engine"}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": meta(named("engine-", NAME), COMPONENT),
        "spec": {
            "replicas": When(NOT_SCALED, own("gpu.least")),  # or each roll-out would reset it
            "serviceName": named("engine-", NAME),
            "podManagementPolicy": "Parallel",
            "ordinals": {"start": 1},
            "revisionHistoryLimit": 3,
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": labels(COMPONENT)},
            "template": pod,
        },
    }


def _server() -> Node:
    health = asks("/health", "http", 5, 3, ours=False)
    return {
        "name": "vllm",
        "image": own("gpu.image"),
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",  # a sidecar
        "command": ["vllm", "serve"],
        "args": [
            own("gpu.path"),
            "--port",
            str(PORT),
            "--served-model-name",
            own("model"),
            "--max-num-seqs",
            Reckoned(
                "$engine.slots | toString | quote", lambda scope: str(scope["engine"]["slots"])
            ),
            "--scheduling-policy",
            "priority",
            "--enable-prompt-tokens-details",
            "--disable-uvicorn-access-log",
            Whole(own("gpu.args")),
        ],
        "env": [
            {"name": "HOME", "value": "/cache"},
            {"name": "USER", "value": "forebay"},  # the image knows no name for its number
            {"name": "HF_HUB_OFFLINE", "value": "1"},
            {"name": "VLLM_NO_USAGE_STATS", "value": "1"},
        ],
        "ports": ports(http=PORT),
        # The model is loaded meanwhile. The worker begins after it.
        "startupProbe": {**health, "periodSeconds": 5, "failureThreshold": LOADS},
        "readinessProbe": health,
        "livenessProbe": asks("/health", "http", 10, 6, patience=5, ours=False),
        "securityContext": CONTAINER,
        "resources": {
            "requests": Whole(own("gpu.resources.requests")),
            "limits": {
                "nvidia.com/gpu": own("gpu.count"),
                Spread(): Whole(own("gpu.resources.limits")),
            },
        },
        "volumeMounts": [
            {"name": "models", "mountPath": "/models", "readOnly": True},
            {"name": "cache", "mountPath": "/cache"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of a pod, a volume of its own
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  # of a pod, a volume of its own
        ],
    }


LOADS = Reckoned(
    "mul 12 (default 15 $engine.gpu.loadMinutes | int)",
    lambda scope: 12 * (scope["engine"]["gpu"].get("loadMinutes") or 15),
)


def _volumes() -> list[Node]:
    claim = {"claimName": own("gpu.modelsClaim"), "readOnly": True}
    return [
        {"name": "models", "persistentVolumeClaim": claim},
        {"name": "cache", "emptyDir": {"sizeLimit": "8Gi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
    ]


def _addresses() -> Node:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(named("engine-", NAME), COMPONENT),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,  # whether one answers is for Forebay to see
            "selector": labels(COMPONENT),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "appProtocol": "http"}],
        },
    }
