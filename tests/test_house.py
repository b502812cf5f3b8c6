"""The picture in docs/architecture.md is what docs/draw_house.py draws of the code today."""

import runpy

import pytest

from config.environment import PROJECT


@pytest.mark.unit
def test_the_picture_of_the_house_is_of_today() -> None:
    script = runpy.run_path(str(PROJECT / "docs" / "draw_house.py"))
    assert script["PICTURE"].read_text() == script["drawn"](), "run: python docs/draw_house.py"
