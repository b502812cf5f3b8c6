"""What an operator may set: the chart's values.yaml and its schema; Kustomize begins with it."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from infrastructure.release import VERSION

Schema = dict[str, Any]
NUMBER: Schema = {"type": "integer", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 1}
TEXT: Schema = {"type": "string"}
FILLED: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
NAMES: Schema = {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"}}
KEYS: Schema = {
    "type": "array",
    "items": {**NAMES["items"], "not": {"const": "FOREBAY_METRICS_TOKEN"}},
}
LIST: Schema = {"type": "array"}
CIDRS: Schema = {
    "type": "array",
    "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"},
}
PROXIES: Schema = {
    "type": "array",
    "items": {
        "type": "string",
        "pattern": "^[0-9a-fA-F.:]+(/[1-9][0-9]{0,2})?$",  # /0 would be everybody
    },
}
PORTS: Schema = {"type": "array", "minItems": 1}  # a rule without any would be one for all
MAPPING: Schema = {"type": "object"}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 40}
URL: Schema = {"type": "string", "pattern": "^(https?://[^/ ]+)?$"}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


@dataclass(frozen=True)
class Setting:
    default: Any
    schema: Schema
    says: str


@dataclass(frozen=True)
class Group:
    says: str
    settings: Mapping[str, "Setting | Group"] = field(default_factory=dict)


def resources(cpu: str, memory: str, most_cpu: str, most_memory: str) -> Setting:
    given = {
        "requests": {"cpu": cpu, "memory": memory, "ephemeral-storage": "256Mi"},
        "limits": {"cpu": most_cpu, "memory": most_memory, "ephemeral-storage": "2Gi"},
    }
    return Setting(given, MAPPING, "as a container has them")


ENGINE: Schema = {
    "type": "object",
    "required": ["name", "model", "kind", "slots"],
    "oneOf": [
        {"required": ["gpu"], "properties": {"kind": {"const": "vllm"}}},
        {"required": ["url"]},
    ],
    "additionalProperties": False,
    "properties": {
        "name": NAME,
        "model": FILLED,
        "kind": one_of("vllm", "sglang", "llama_cpp", "openai", "deepseek"),
        "slots": COUNT,
        "url": {"type": "string", "pattern": "^https?://"},
        "options": MAPPING,
        "gpu": {
            "type": "object",
            "required": ["image", "path", "count", "least", "most", "modelsClaim"],
            "additionalProperties": False,
            "properties": {
                "image": {"type": "string", "pattern": "[:@]"},
                "path": FILLED,
                "count": COUNT,
                "least": COUNT,
                "most": {"type": "integer", "minimum": 1, "maximum": 100},
                "modelsClaim": FILLED,
                "args": {"type": "array", "items": TEXT},
                "loadMinutes": COUNT,
                "resources": MAPPING,
                "nodeSelector": STRINGS,
                "tolerations": LIST,
            },
        },
    },
}
EXAMPLE_ENGINES: list[dict[str, Any]] = [
    {
        "name": "qwen",
        "model": "qwen3-32b",
        "kind": "vllm",
        "slots": 32,
        "options": {"context_length": 32768, "priority_scheduling": True},
        "gpu": {
            "image": "docker.io/vllm/vllm-openai:v0.11.0",
            "path": "/models/Qwen3-32B",
            "count": 1,
            "least": 3,
            "most": 10,
            "modelsClaim": "forebay-models",
            "loadMinutes": 15,
            "args": ["--gpu-memory-utilization", "0.90", "--max-model-len", "32768"],
            "resources": {
                "requests": {"cpu": "4", "memory": "32Gi", "ephemeral-storage": "1Gi"},
                "limits": {"cpu": "8", "memory": "64Gi", "ephemeral-storage": "8Gi"},
            },
            "nodeSelector": {"nvidia.com/gpu.present": "true"},
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            ],
        },
    },
    {
        "name": "elsewhere",
        "model": "qwen3-32b",
        "kind": "openai",
        "slots": 64,
        "url": "https://inference.other.example/v1",
        "options": {"condition": "failover", "hosted": True},
    },
]

EXAMPLE_PROXIES = ["192.0.2.0/24"]  # kept for documents (RFC 5737): nobody comes from there
SETTINGS: dict[str, Setting | Group] = {
    "image": Group(
        "the image of Forebay, as `make image` makes it",
        {
            "repository": Setting("registry.example.com/forebay", FILLED, "where it is"),
            "tag": Setting(VERSION, FILLED, "never latest: an upgrade is an act"),
            "digest": Setting("", TEXT, "sha256:… goes before the tag: that image and no other"),
            "pullPolicy": Setting(
                "IfNotPresent", one_of("IfNotPresent", "Always", "Never"), "Always where tags move"
            ),
            "pullSecrets": Setting([], LIST, "[{name: …}]"),
        },
    ),
    "publicUrl": Setting(
        "https://forebay.example.com", URL, "FOREBAY_PUBLIC_URL, as people see it; needed"
    ),
    "proxies": Group(
        "whose X-Forwarded-For is believed: addresses or networks of your ingress controller's "
        "pods, and of what stands before it. From anybody else it is what a client has written",
        {
            "web": Setting(
                EXAMPLE_PROXIES, PROXIES, "before the web pods; needed with ingress.enabled"
            ),
            "grpc": Setting(
                EXAMPLE_PROXIES, PROXIES, "before the gRPC pods; needed with ingress.enabled"
            ),
        },
    ),
    "requestDeadlineSeconds": Setting(
        600, COUNT, "FOREBAY_REQUEST_DEADLINE_S. A pod that goes has 90 s more than that to finish"
    ),
    "settings": Setting(
        {"FOREBAY_DEMO": "0", "FOREBAY_LOG_FORMAT": "json"},
        STRINGS,
        "further variables of Forebay, no secrets: docs/operations/configuration.md lists them",
    ),
    "secrets": Group(
        "Secrets that are there before: docs/operations/kubernetes.md says how to make them",
        {
            "name": Setting("forebay", FILLED, "what all pods read, as files"),
            "migration": Setting(
                "forebay-migration",
                FILLED,
                "its DATABASE_URL is that of the database's administrator; the Job alone reads it",
            ),
            "metrics": Setting(
                "forebay-metrics",
                FILLED,
                "its FOREBAY_METRICS_TOKEN is what Prometheus shows. It needs to read no other",
            ),
            "keys": Setting(
                [
                    "DATABASE_URL",
                    "FOREBAY_REQUESTS_DATABASE_URL",
                    "REDIS_URL",
                    "FOREBAY_MASTER_KEY",
                    "FOREBAY_PLATFORM_SECRET",
                    "FOREBAY_AUDIT_SIGNING_KEY",
                ],
                KEYS,
                "keys of the first one that Forebay reads as NAME_FILE; without one no pod starts",
            ),
            "more": Setting(
                [],
                NAMES,
                "further keys of the first one: files in /run/secrets/forebay, which settings name",
            ),
        },
    ),
    "tls": Group(
        "TLS 1.3 of the pods' own ports",
        {
            "secret": Setting(
                "",
                TEXT,
                "a Secret of the type kubernetes.io/tls, as cert-manager makes it, for the names "
                "of the Services. Without it they are plain inside the cluster",
            ),
        },
    ),
    "migrate": Group(
        "the Job before each roll-out",
        {
            "role": Setting("forebay", FILLED, "PostgreSQL's role of DATABASE_URL"),
            "requestsRole": Setting(
                "forebay_requests", FILLED, "that of FOREBAY_REQUESTS_DATABASE_URL"
            ),
            "withinSeconds": Setting(1800, COUNT, "after which it has failed"),
            "resources": resources("250m", "256Mi", "1", "768Mi"),
        },
    ),
    "web": Group(
        "console, chat, /v1, /api/v1: one process in each pod, which takes one core at most",
        {
            "replicas": Setting(3, COUNT, "at least 2, or an upgrade is an interruption"),
            "resources": resources("500m", "512Mi", "1500m", "1Gi"),
        },
    ),
    "grpc": Group(
        "the gRPC server",
        {
            "replicas": Setting(2, COUNT, "how many"),
            "resources": resources("250m", "384Mi", "1500m", "1Gi"),
        },
    ),
    "jobs": Group(
        "sweeper, seals, exports, nightly checks",
        {
            "replicas": Setting(2, COUNT, "they share the work"),
            "resources": resources("250m", "384Mi", "1", "1Gi"),
        },
    ),
    "beat": Group(
        "what sends the jobs",
        {
            "replicas": Setting(
                2, COUNT, "one sends: the one that holds a lock of PostgreSQL. The other waits"
            ),
            "resources": resources("100m", "256Mi", "500m", "512Mi"),
        },
    ),
    "worker": Group(
        "of an engine",
        {
            "replicas": Setting(
                2, COUNT, "of an engine with a url: one takes requests, the other waits for its end"
            ),
            "resources": resources("250m", "384Mi", "1", "1Gi"),
        },
    ),
    "engines": Setting(
        EXAMPLE_ENGINES,
        {"type": "array", "items": ENGINE},
        "each a pool of a model. `gpu`: vLLM servers of its own, `least` to `most` pods of `count` "
        "GPUs. `url`: a server elsewhere. `slots`: answers at once, of each server. `options`: "
        "what FOREBAY_ENGINES has beside (docs/engines.md)",
    ),
    "autoscaling": Group(
        "of engines with `gpu`",
        {
            "by": Setting(
                "none",
                one_of("none", "hpa", "keda"),
                "hpa: prometheus-adapter with adapter-values.yaml has to be there; keda: KEDA",
            ),
            "load": Setting(
                "gpu",
                one_of("gpu", "slots"),
                "beside the wait: gpu, how long GPUs work; slots, how many answers they work at",
            ),
            "gpuUtilization": Setting(
                80, COUNT, "percent, mean of the pods (DCGM_FI_DEV_GPU_UTIL)"
            ),
            "slotUtilization": Setting(80, COUNT, "percent of the slots of servers that are there"),
            "waitSeconds": Setting(2, COUNT, "what a real-time request may expect to wait"),
            "downAfterSeconds": Setting(
                1800, NUMBER, "so long must fewer be enough: longer than a model takes to load"
            ),
            "prometheus": Setting(
                "http://prometheus-operated.monitoring.svc:9090", URL, "whom KEDA asks"
            ),
        },
    ),
    "ingress": Group(
        "of HTTP and websockets",
        {
            "enabled": Setting(False, FLAG, "or bring your own"),
            "className": Setting("nginx", TEXT, "its annotations are ingress-nginx's"),
            "host": Setting("forebay.example.com", FILLED, "of publicUrl"),
            "tlsSecret": Setting("forebay-tls", FILLED, "certificate and key"),
        },
    ),
    "monitoring": Group(
        "for Prometheus' operator",
        {
            "enabled": Setting(False, FLAG, "a PodMonitor and the alert rules"),
            "labels": Setting(
                {"release": "prometheus"}, STRINGS, "by which your Prometheus selects"
            ),
            "docs": Setting(
                "https://forebay.example/docs",
                {"type": "string", "pattern": "^https?://[^/ ]+[^ ]*$"},
                "where you keep docs/: alerts link to operations/runbooks/ there",
            ),
        },
    ),
    "networkPolicies": Group(
        "who may talk to whom: nobody else",
        {
            "enabled": Setting(True, FLAG, "your network plugin has to enforce them"),
            "ingressNamespace": Setting(
                "ingress-nginx", FILLED, "of the ingress controller, which may reach web and gRPC"
            ),
            "monitoringNamespace": Setting("monitoring", FILLED, "of Prometheus"),
            "servers": Setting(
                ["10.0.0.0/8"],
                CIDRS,
                "addresses of PostgreSQL and Valkey. None: bring a policy of your own",
            ),
            "serverPorts": Setting(
                [{"protocol": "TCP", "port": 5432}, {"protocol": "TCP", "port": 6379}],
                PORTS,
                "their ports",
            ),
            "outside": Setting(
                ["0.0.0.0/0"],
                CIDRS,
                "where witnesses, webhooks, hosted engines and identity providers are reached by "
                "HTTPS. 0.0.0.0/0 and ::/0 are the internet, without private networks: name "
                "those of yours beside them",
            ),
        },
    ),
    "storage": Group(
        "what is not in PostgreSQL: exports, which jobs make and web hands out, and tombstones",
        {
            "className": Setting("", TEXT, "one that can ReadWriteMany"),
            "size": Setting("20Gi", FILLED, "how much"),
            "existingClaim": Setting("", TEXT, "or one that is there"),
        },
    ),
}


def defaults(settings: Mapping[str, Setting | Group] = SETTINGS) -> dict[str, Any]:
    return {
        name: each.default if isinstance(each, Setting) else defaults(each.settings)
        for name, each in settings.items()
    }


def schema(settings: Mapping[str, Setting | Group] = SETTINGS) -> Schema:
    properties = {
        name: {**each.schema, "description": each.says}
        if isinstance(each, Setting)
        else {**schema(each.settings), "description": each.says}
        for name, each in settings.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema_text() -> str:
    top = schema()
    top["properties"]["global"] = {"type": "object"}  # Helm itself adds it
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Forebay", **top}
    return json.dumps(head, indent=2, ensure_ascii=False) + "\n"


def values_text(chart: Mapping[str, Any]) -> str:
    """values.yaml; `chart`: where it begins otherwise than `defaults`."""
    head = "# Written by `python -m deploy.kubernetes`. values.schema.json says what each may be.\n"
    return head + "\n".join(_lines(SETTINGS, chart, "")) + "\n"


def _lines(
    settings: Mapping[str, Setting | Group], chart: Mapping[str, Any], indent: str
) -> Iterator[str]:
    for name, each in settings.items():
        yield f"{indent}# {each.says}"
        if isinstance(each, Group):
            yield f"{indent}{name}:"
            yield from _lines(each.settings, chart.get(name, {}), indent + "  ")
        else:
            given = yaml.safe_dump(
                {name: chart.get(name, each.default)}, sort_keys=False, width=100
            )
            yield textwrap.indent(given.rstrip(), indent)
