"""The objects as Kustomize's files have them, as kubectl builds an overlay, and as Helm renders."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from deploy.kubernetes import helm
from deploy.kubernetes.rendering import FOLDER, VALUES

OVERLAYS = {"hpa": "hpa", "keda": "keda", "fixed": "none"}
Objects = dict[tuple[str, str], dict[str, Any]]


def defaults() -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load((helm.CHART / "values.yaml").read_text())
    return values


def scope(autoscaling: str = "none") -> dict[str, Any]:
    """Return values with everything on."""
    values = defaults()
    for name, part in yaml.safe_load(VALUES.read_text()).items():
        values[name] = {**values[name], **part} if isinstance(part, dict) else part
    values["autoscaling"]["by"] = autoscaling
    return values


def schema() -> dict[str, Any]:
    text: dict[str, Any] = json.loads((helm.CHART / "values.schema.json").read_text())
    return text


@cache
def committed() -> Objects:
    """Read every object below kustomize/, both autoscalers too, without any tool."""
    paths = [path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"]
    objects = by_name(one for path in paths for one in helm.documents(path.read_text()))
    overlay = FOLDER / "overlays" / "hpa"
    lines = (overlay / "settings.env").read_text().splitlines()
    _config_map(objects, "settings", dict(line.split("=", 1) for line in lines))
    _config_map(objects, "engines", {"engines.json": (overlay / "engines.json").read_text()})
    return objects


def _config_map(objects: Objects, name: str, data: dict[str, str]) -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"forebay-{name}"}}
    objects["ConfigMap", f"forebay-{name}"] = {**one, "data": data}


@cache
def kustomized(folder: str) -> Objects:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: apt install kubernetes-client")
    kubectl = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert kubectl.returncode == 0, kubectl.stderr
    return by_name(helm.documents(kubectl.stdout))


def needs_helm() -> None:
    if not helm.PYTHON.exists():
        pytest.skip("Helm is not here: make .venv-helm/.ready")


def helmed(values: Mapping[str, Any]) -> Objects:
    """Raises Refused."""
    needs_helm()
    return by_name(one for objects in helm.rendered(values).values() for one in objects)


def by_name(objects: Iterable[dict[str, Any]]) -> Objects:
    listed = list(objects)
    names = {(one["kind"], one["metadata"]["name"]): one for one in listed}
    assert len(names) == len(listed), "two objects have one name"
    return names


def alike(objects: Objects) -> Objects:
    """Return them without what Kustomize and Helm each add: namespaces, hashes, checksums."""
    text = json.dumps([objects[name] for name in sorted(objects)])
    text = re.sub(r'"forebay-(settings|engines)-[a-z0-9]{10}"', r'"forebay-\1"', text)
    bare = by_name(json.loads(text))
    for one in bare.values():
        one["metadata"].pop("namespace", None)
        template = one.get("spec", {}).get("template", {})
        template.get("metadata", {}).get("annotations", {}).pop("forebay/configuration", None)
        if one["kind"] == "ConfigMap":
            one["metadata"].pop("labels", None)
        if one["kind"] == "ConfigMap" and "engines.json" in one["data"]:
            one["data"]["engines.json"] = json.loads(one["data"]["engines.json"])
    bare.pop(("Namespace", "forebay"), None)
    return bare


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return their specs, by the name of what makes them."""
    made = ("Deployment", "StatefulSet", "Job")
    return {
        name: one["spec"]["template"]["spec"]
        for (kind, name), one in objects.items()
        if kind in made
    }


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]
