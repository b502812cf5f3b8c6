"""The files that `python -m deploy.kubernetes` writes.

Kustomize's own files (kustomization.yaml) and the namespace are kept by hand.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.helm import CHART, HERE, Objects, rendered

FOLDER = HERE / "kustomize"
VALUES = HERE / "kustomize-values.yaml"
ALERTS = CHART / "alerts.yaml"
RULES = HERE.parent / "prometheus" / "rules"
OVERLAYS = ("fixed", "hpa", "keda")
_PARTS = {  # the folder of each template
    **dict.fromkeys(("account", "storage", "web", "grpc", "jobs", "beat", "network"), "base"),
    **dict.fromkeys(("engines", "workers"), "engines"),
    "migration": "migrate",
    "ingress": "components/ingress",
    "monitoring": "components/monitoring",
}
_HEAD = "# Written by `python -m deploy.kubernetes`: change {} instead.\n"


def alerts() -> str:
    """Return the chart's copy of the alert rules: Helm reads no file outside of a chart."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    groups = [group for file in files for group in file["groups"]]
    return _HEAD.format("deploy/prometheus/rules") + _dumped({"groups": groups})


def files() -> Iterator[tuple[Path, str]]:
    """Yield each rendered file of Kustomize and its text. Raises Refused."""
    values = yaml.safe_load(VALUES.read_text())
    templates = rendered(values)
    for name, folder in _PARTS.items():
        yield FOLDER / folder / f"{name}.yaml", _manifest(templates[name])
    for name in ("hpa", "keda"):
        scaled = rendered({**values, "autoscaling": {"by": name}})
        yield FOLDER / "components" / name / f"{name}.yaml", _manifest(scaled[name])
    database = {**yaml.safe_load((CHART / "values.yaml").read_text())["database"], "enabled": True}
    objects = rendered({**values, "database": database})["database"]
    yield FOLDER / "components" / "database" / "database.yaml", _manifest(objects)
    settings, engines = (config_map["data"] for config_map in templates["configuration"])
    for overlay in OVERLAYS:
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        yield FOLDER / "overlays" / overlay / "settings.env", "".join(lines)
        text = json.dumps(json.loads(engines["engines.json"]), indent=2) + "\n"
        yield FOLDER / "overlays" / overlay / "engines.json", text


def _manifest(objects: Objects) -> str:
    for each in objects:
        pod = each["spec"].get("template", {}) if "spec" in each else {}
        # It rolls the chart's pods; Kustomize puts a hash into the ConfigMaps' names.
        pod.get("metadata", {}).get("annotations", {}).pop("forebay/configuration", None)
    return _HEAD.format("the chart") + "---\n".join(map(_dumped, objects))


def _dumped(node: Any) -> str:
    return yaml.safe_dump(node, sort_keys=False, width=100)
