"""The objects as the source has them, as Kustomize builds them, and as Helm renders the chart."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml

from config.environment import PROJECT
from deploy.kubernetes import layout, parts, values

HERE = layout.HERE
OVERLAYS = {"hpa": "hpa", "keda": "keda", "fixed": "none"}
_HELM = PROJECT / ".venv-helm" / "bin" / "python"
_RENDER = """
import json, sys, helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    try:
        files = chart.render(json.load(sys.stdin), name="forebay", namespace="forebay")
    except helm_python.HelmError as problem:
        sys.exit(str(problem))
print(json.dumps(files))
"""
Objects = dict[tuple[str, str], dict[str, Any]]
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def scope(autoscaling: str = "none") -> dict[str, Any]:
    """Values with everything on."""
    found = deepcopy(values.defaults())
    found["autoscaling"]["by"] = autoscaling
    found["ingress"]["enabled"] = found["monitoring"]["enabled"] = True
    return found


@cache
def source(autoscaling: str = "none") -> Objects:
    """All of them, also the Job."""
    return made_of(scope(autoscaling))


def made_of(given: dict[str, Any]) -> Objects:
    groups = (
        parts.BASE,
        parts.CONFIGURATION,
        parts.ENGINE_PARTS,
        parts.COMPONENTS,
        parts.MIGRATION,
    )
    nodes = [node for group in groups for each in group.values() for node in each]
    return by_name(layout.objects(nodes, given))


@cache
def kustomized(folder: str) -> Objects:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: apt install kubernetes-client")
    built = subprocess.run(
        ["kubectl", "kustomize", str(HERE / "kustomize" / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return by_name(_documents(built.stdout))


class Refused(Exception):
    """By Helm."""


def helmed(given: Mapping[str, Any]) -> Objects:
    """Raises Refused."""
    command = _helm()
    rendered = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    if rendered.returncode:
        raise Refused(rendered.stderr)
    if command[0] == "helm":
        return by_name(_documents(rendered.stdout))
    files = json.loads(rendered.stdout)
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return by_name(one for text in texts for one in _documents(text))


def _helm() -> list[str]:
    chart = str(HERE / "chart" / "forebay")
    if shutil.which("helm"):
        return ["helm", "template", "forebay", chart, "-n", "forebay", "-f", "-"]
    if _HELM.exists():
        return [str(_HELM), "-c", _RENDER, chart]
    pytest.skip("Helm is not here: make .venv-helm/.ready")


def _documents(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(text, _loader) if one]


def by_name(found: Iterable[dict[str, Any]]) -> Objects:
    listed = list(found)
    objects = {(one["kind"], one["metadata"]["name"]): one for one in listed}
    assert len(objects) == len(listed), "two objects have one name"
    return objects


def alike(objects: Objects) -> Objects:
    """Without what Kustomize and Helm each add: namespaces, hashes, checksums."""
    text = json.dumps([objects[name] for name in sorted(objects)])
    text = re.sub(r'"forebay-(settings|engines)-[a-z0-9]{10}"', r'"forebay-\1"', text)
    found = by_name(json.loads(text))
    for one in found.values():
        one["metadata"].pop("namespace", None)
        template = one.get("spec", {}).get("template", {})
        template.get("metadata", {}).get("annotations", {}).pop("forebay/configuration", None)
        if one["kind"] == "ConfigMap":
            one["metadata"].pop("labels", None)
        if one["kind"] == "ConfigMap" and "engines.json" in one["data"]:
            one["data"]["engines.json"] = json.loads(one["data"]["engines.json"])
    found.pop(("Namespace", "forebay"), None)
    return found


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """Their specs, by the name of what makes them."""
    made = ("Deployment", "StatefulSet", "Job")
    return {
        name: one["spec"]["template"]["spec"]
        for (kind, name), one in objects.items()
        if kind in made
    }


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]
