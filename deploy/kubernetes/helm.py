"""Renders the chart with Helm's own code, as a library in a virtual environment of its own."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
CHART = HERE / "chart" / "forebay"
PYTHON = HERE.parents[1] / ".venv-helm" / "bin" / "python"  # make .venv-helm/.ready
_RENDER = """
import json, sys, helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    try:
        files = chart.render(json.load(sys.stdin), name="forebay", namespace="forebay")
    except helm_python.HelmError as problem:
        sys.exit(str(problem))
print(json.dumps(files))
"""
Objects = list[dict[str, Any]]
_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(Exception):
    """Helm does not render the chart with these values."""


def rendered(values: Mapping[str, Any]) -> dict[str, Objects]:
    """Return the objects of each template, by its name. Raises Refused."""
    command = [str(PYTHON), "-c", _RENDER, str(CHART)]
    helm = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False
    )
    if helm.returncode:
        raise Refused(helm.stderr)
    templates = {Path(name): text for name, text in json.loads(helm.stdout).items()}
    return {p.stem: documents(text) for p, text in templates.items() if p.suffix == ".yaml"}


def documents(text: str) -> Objects:
    return [document for document in yaml.load_all(text, _loader) if document]
