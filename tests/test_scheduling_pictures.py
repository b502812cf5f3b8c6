"""The pictures of the documentation are what its scripts draw."""

import runpy

import pytest

from config.environment import PROJECT

PAGES = {"draw_scheduling": "scheduling.md", "draw_energy": "operations/energy.md"}


@pytest.mark.unit
@pytest.mark.parametrize("name", PAGES)
def test_the_pictures_are_those_that_the_script_draws(name: str) -> None:
    script = runpy.run_path(str(PROJECT / "docs" / f"{name}.py"))
    text = (PROJECT / "docs" / PAGES[name]).read_text()
    for picture, draw in script["PICTURES"].items():
        assert f"images/{picture}.svg" in text
        drawn = (script["IMAGES"] / f"{picture}.svg").read_text()
        assert drawn == draw(), f"run: python docs/{name}.py"
