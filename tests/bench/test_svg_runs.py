"""The chart of figures over runs."""

import re
from xml.etree import ElementTree as ET

import pytest

from bench.svg_plot import document
from bench.svg_runs import Runs

pytestmark = pytest.mark.unit


def test_each_run_has_a_tick_and_each_figure_a_dot() -> None:
    chart = Runs("Ratios", ["aaa1111", "bbb2222"], {"JSON": [18.3, 11.0], "streams": [None, 18.5]})
    drawn = document([chart], "footer")
    texts = [node.text for node in ET.fromstring(drawn).iter() if node.tag.endswith("text")]  # noqa: S314
    assert {"Ratios", "aaa1111", "bbb2222", "11.0 JSON", "18.5 streams", "footer"} <= set(texts)
    assert drawn.count("<circle") == 3


def test_what_was_not_measured_leaves_a_gap() -> None:
    drawn = Runs("Ratios", ["a", "b", "c"], {"JSON": [1.0, None, 2.0]}).draw(0)
    (path,) = re.findall(r'd="(M[^"H]*)" fill="none"', drawn)
    assert path.count("M") == 2
    assert "L" not in path


def test_many_runs_have_as_many_labels_as_there_is_room_for() -> None:
    commits = [f"c{number:06d}" for number in range(100)]
    drawn = Runs("Ratios", commits, {"JSON": [1.0] * 100}).draw(0)
    shown = [float(x) for x in re.findall(r'x="([\d.]+)"[^>]*>c\d{6}<', drawn)]
    assert all(right - left >= 60 for left, right in zip(shown, shown[1:], strict=False))
    assert "c000099" in drawn


def test_nothing_measured_draws_nothing_wrong() -> None:
    assert "<circle" not in Runs("Ratios", ["a"], {"JSON": [None]}).draw(0)
