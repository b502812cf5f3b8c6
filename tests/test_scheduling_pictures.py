"""The pictures in docs/scheduling.md are what docs/draw_scheduling.py draws."""

import runpy

import pytest

from config.environment import PROJECT


@pytest.mark.unit
def test_the_pictures_are_those_that_the_script_draws() -> None:
    script = runpy.run_path(str(PROJECT / "docs" / "draw_scheduling.py"))
    text = (PROJECT / "docs" / "scheduling.md").read_text()
    for name, draw in script["PICTURES"].items():
        assert f"images/{name}.svg" in text
        drawn = (script["IMAGES"] / f"{name}.svg").read_text()
        assert drawn == draw(), "run: python docs/draw_scheduling.py"
