"""The chart is the source: what else is committed is rendered from it or says the same."""

import json
import re

import pytest

from deploy.kubernetes import rendering
from deploy.kubernetes.helm import CHART
from infrastructure.release import VERSION
from tests.deploy.kubernetes.rendered import (
    OVERLAYS,
    alike,
    helmed,
    kustomized,
    needs_helm,
    scope,
)

pytestmark = pytest.mark.unit
AGAIN = "run: python -m deploy.kubernetes"


def test_the_chart_has_the_alert_rules_of_prometheus() -> None:
    assert rendering.ALERTS.read_text() == rendering.alerts(), AGAIN


def test_committed_kustomize_files_are_what_the_chart_renders() -> None:
    needs_helm()
    rendered = dict(rendering.files())
    by_hand = ("kustomization.yaml", "namespace.yaml")
    paths = [path for path in rendering.FOLDER.rglob("*") if path.is_file()]
    assert {path for path in paths if path.name not in by_hand} == set(rendered), AGAIN
    for path, text in rendered.items():
        assert path.read_text() == text, f"{path}: {AGAIN}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_what_helm_renders(overlay: str) -> None:
    built = {**kustomized(f"overlays/{overlay}"), **kustomized("migrate")}
    assert alike(built) == alike(helmed(scope(OVERLAYS[overlay])))


def test_pools_keep_their_order_in_kustomize_too() -> None:
    """They are tried in that order."""
    for overlay in OVERLAYS:
        text = (rendering.FOLDER / "overlays" / overlay / "engines.json").read_text()
        assert list(json.loads(text)["qwen3-32b"]["pools"]) == ["qwen", "elsewhere"]


def test_chart_and_kustomize_name_this_version() -> None:
    about = (CHART / "Chart.yaml").read_text()
    assert re.findall(r"^(?:appV|v)ersion: (.+)$", about, re.MULTILINE) == [VERSION] * 2
    texts = {path: path.read_text() for path in rendering.FOLDER.rglob("kustomization.yaml")}
    tags = {path: tag for path, text in texts.items() for tag in re.findall(r"newTag: (.+)", text)}
    assert len(tags) == len(OVERLAYS) + 1
    assert set(tags.values()) == {VERSION}
