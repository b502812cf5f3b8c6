"""Which file has what: Kustomize's base, components and overlays, and the chart."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml as pyyaml

from deploy.kubernetes import monitoring, parts, values
from deploy.kubernetes.engines import ENGINES_HELPER, known
from deploy.kubernetes.scaling import adapter
from deploy.kubernetes.templates import yaml
from deploy.kubernetes.words import NOTHING, Each, Node, Scope, When, plain
from infrastructure.release import VERSION

HERE = Path(__file__).parent
OVERLAYS = {"hpa": "hpa", "keda": "keda", "fixed": ""}
_SCALED = ("components/hpa", "components/keda")
# The autoscaler's from then on.
_UNSET = "- {op: remove, path: /spec/replicas}"
_WRITTEN = "# Written by `python -m deploy.kubernetes`.\n"
_AGAIN = _WRITTEN + "# Copy this overlay, and change the copy.\n"
HELPERS = (
    ENGINES_HELPER
    + """\
{{- define "forebay.configuration" -}}
{{- $told := omit $.Values "engines" "web" "grpc" "jobs" "beat" "worker" "ingress" }}
{{- printf "%s %s" (toJson $told) (include "forebay.engines" $) | sha256sum }}
{{- end }}
"""
)
README = """\
# Forebay

A self-hosted platform for LLM inference with many tenants. This chart makes web, gRPC, jobs, beat,
the workers of engines, and vLLM servers with GPUs; PostgreSQL and Valkey are yours.

Three Secrets have to be there before: `secrets` of `values.yaml` names them and their keys. Then

    helm upgrade --install forebay CHART -n forebay -f mine.yaml --timeout 40m

with a file like this, and the engines that you have:

    publicUrl: https://forebay.example.com
    image: {repository: registry.example.com/forebay}
    proxies: {web: [10.244.0.0/16], grpc: [10.244.0.0/16]}   # your ingress controller's pods
    ingress: {enabled: true, host: forebay.example.com, tlsSecret: forebay-tls}
    engines:
      - {name: elsewhere, model: qwen3-32b, kind: openai, slots: 64, url: "http://10.0.0.9:8000/v1"}

`values.yaml` says what each value is for, and `values.schema.json` refuses what none may be. In
the repository `docs/operations/kubernetes.md` is the guide, and `docs/operations/configuration.md`
lists the variables that `settings` may have.
"""
NOTES = """\
Forebay is at {{ required "set publicUrl" $.Values.publicUrl }}.

The link that sets the operator's password:
  kubectl -n {{ $.Release.Namespace }} exec deploy/{{ $.Release.Name }}-web -c forebay -- \\
    forebay manage first_run
Every pod keeps to Pod Security "restricted"; let the namespace enforce it:
  kubectl label namespace {{ $.Release.Namespace }} pod-security.kubernetes.io/enforce=restricted
{{- if not $.Values.proxies.web }}
No proxy is named (proxies.web): where one stands in front, all people count as one address.
{{- end }}
{{- if not $.Values.networkPolicies.enabled }}
There are NO network policies: every pod of the cluster reaches the engines.
{{- end }}
"""


def written() -> dict[str, str]:
    """Each file's text, by its path from here."""
    return {**_kustomize(), **_chart(), "adapter-values.yaml": _dumped(adapter(), _WRITTEN)}


def objects(nodes: Iterable[Node], scope: Scope) -> list[dict[str, Any]]:
    """Plain ones; of an Each one for each engine."""
    found: list[dict[str, Any]] = []
    for node in nodes:
        if isinstance(node, When):
            found += objects([node.node], scope) if node.condition.of(scope) else []
        elif isinstance(node, Each):
            engines = [one for one in scope["engines"] if one.get(node.kind)]
            found += [plain(node.node, {**scope, "engine": one}) for one in engines]
        elif (one := plain(node, scope)) is not NOTHING:
            found.append(one)
    return found


# Kustomize ---------------------------------------------------------------------------------------
def _kustomize() -> dict[str, str]:
    scope = values.defaults()
    everything = {**scope, "ingress": {**scope["ingress"], "enabled": True}}
    everything["monitoring"] = {**scope["monitoring"], "enabled": True}
    files = _folder("base", {"namespace": [parts.namespace()], **parts.BASE}, scope)
    files |= _folder("engines", parts.ENGINE_PARTS, scope, kind="Component")
    for name, nodes in parts.COMPONENTS.items():
        one = {**everything, "autoscaling": {**scope["autoscaling"], "by": name}}
        files |= _folder(f"components/{name}", {name: nodes}, one, kind="Component")
    files |= _folder("migrate", parts.MIGRATION, scope, namespace=parts.NAMESPACE, image=True)
    for name, autoscaling in OVERLAYS.items():
        files |= _overlay(name, autoscaling, scope)
    return {f"kustomize/{name}": text for name, text in files.items()}


def _folder(
    name: str,
    files: Mapping[str, list[Node]],
    scope: Scope,
    *,
    kind: str = "Kustomization",
    namespace: str = "",
    image: bool = False,
) -> dict[str, str]:
    made = {f"{file}.yaml": objects(nodes, scope) for file, nodes in files.items()}
    found = {file: _WRITTEN + yaml(each) for file, each in made.items()}
    listed: dict[str, Any] = _kustomization(kind)
    if namespace:
        listed["namespace"] = namespace
    listed["resources"] = list(found)
    if name in _SCALED:
        listed["patches"] = [{"target": {"kind": "StatefulSet"}, "patch": _UNSET}]
    if image:
        listed["images"] = [_image(scope)]
    found["kustomization.yaml"] = _dumped(listed, _WRITTEN)
    return {f"{name}/{file}": text for file, text in found.items()}


def _overlay(name: str, autoscaling: str, scope: Scope) -> dict[str, str]:
    added = ["ingress", "monitoring", *([autoscaling] if autoscaling else [])]
    kustomization = {
        **_kustomization("Kustomization"),
        "namespace": parts.NAMESPACE,
        "resources": ["../../base"],
        "components": ["../../engines", *(f"../../components/{each}" for each in added)],
        "images": [_image(scope)],
        "configMapGenerator": [
            {"name": "forebay-settings", "envs": ["settings.env"]},
            {"name": "forebay-engines", "files": ["engines.json"]},
        ],
    }
    lines = [f"{key}={value}" for key, value in plain(parts.SETTINGS, scope)["data"].items()]
    files = {
        "kustomization.yaml": _dumped(kustomization, _AGAIN),
        "settings.env": "\n".join([*lines, ""]),
        "engines.json": json.dumps(known(scope), indent=2) + "\n",
    }
    return {f"overlays/{name}/{file}": text for file, text in files.items()}


def _kustomization(kind: str) -> dict[str, Any]:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    return {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind}


def _image(scope: Scope) -> dict[str, str]:
    image = scope["image"]
    return {"name": image["repository"], "newTag": image["tag"]}


# The chart ---------------------------------------------------------------------------------------
def _chart() -> dict[str, str]:
    everything = {
        **parts.BASE,
        **parts.CONFIGURATION,
        **parts.ENGINE_PARTS,
        **parts.COMPONENTS,
        **parts.MIGRATION,
    }
    files = {f"templates/{name}.yaml": _template(nodes) for name, nodes in everything.items()}
    files["Chart.yaml"] = _dumped(_about(), _WRITTEN)
    unset = {"publicUrl": "", "engines": [], "proxies": {"web": [], "grpc": []}}
    files["values.yaml"] = values.values_text(unset)
    files["values.schema.json"] = values.schema_text()
    files["templates/_helpers.tpl"] = HELPERS
    files[monitoring.ALERTS] = _dumped({"groups": monitoring.groups()}, _WRITTEN)
    files["templates/NOTES.txt"] = NOTES
    files["README.md"] = README
    return {f"chart/forebay/{name}": text for name, text in files.items()}


def _template(nodes: list[Node]) -> str:
    return "{{- /* Written by `python -m deploy.kubernetes`. */ -}}\n" + yaml(nodes)


def _about() -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": "forebay",
        "description": "Self-hosted, multi-tenant platform for LLM inference",
        "type": "application",
        "version": VERSION,
        "appVersion": VERSION,
        "kubeVersion": ">=1.31.0-0",
    }


def _dumped(what: Any, head: str = "") -> str:
    return head + pyyaml.safe_dump(what, sort_keys=False, width=100)
