"""One source: what is checked in is its, and Kustomize and Helm make the same objects of it."""

import pytest

from deploy.kubernetes.layout import HERE, written
from tests.deploy.kubernetes.rendered import OVERLAYS, alike, helmed, kustomized, scope, source

pytestmark = pytest.mark.unit


def test_what_is_checked_in_is_what_the_source_writes() -> None:
    made = written()
    there = [HERE / "adapter-values.yaml"]
    there += [
        path for top in ("kustomize", "chart") for path in (HERE / top).rglob("*") if path.is_file()
    ]
    again = "run: python -m deploy.kubernetes"
    assert {path.relative_to(HERE).as_posix() for path in there} == set(made), again
    for name, text in made.items():
        assert (HERE / name).read_text() == text, f"{name}: {again}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_what_the_source_has(overlay: str) -> None:
    built = {**kustomized(f"overlays/{overlay}"), **kustomized("migrate")}
    assert alike(built) == alike(source(OVERLAYS[overlay]))


@pytest.mark.parametrize("autoscaling", OVERLAYS.values())
def test_helm_renders_what_the_source_has(autoscaling: str) -> None:
    assert alike(helmed(scope(autoscaling))) == alike(source(autoscaling))
