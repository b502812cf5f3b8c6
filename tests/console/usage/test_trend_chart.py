"""Charts of the overview's trends, as lines of SVG."""

import pytest

from console.usage.trend_chart import Chart

pytestmark = pytest.mark.unit


def test_both_lines_have_one_scale_and_stay_inside() -> None:
    chart = Chart.of(["a", "b", "c"], [0, 10, 5], [20, 0, 0], ["/a", "/b", "/c"])
    assert chart.line == "50.0,80.0 150.0,42.0 250.0,61.0"
    assert chart.line_before == "50.0,4.0 150.0,80.0 250.0,80.0"
    assert chart.area == "50.0,80 50.0,80.0 150.0,42.0 250.0,61.0 250.0,80"
    assert [(c.x, c.width, c.url) for c in chart.columns][1] == ("100.0", "100.0", "/b")
    assert chart.highest == 20


@pytest.mark.parametrize(("before", "filled"), [([1], [1, 0]), ([1, 2, 3], [1, 2])])
def test_a_time_before_of_another_length_is_cut_or_filled(
    before: list[int], filled: list[int]
) -> None:
    chart = Chart.of(["a", "b"], [4, 4], before, ["", ""])
    assert [column.before for column in chart.columns] == filled


def test_no_hours_and_no_figures_divide_by_nothing() -> None:
    assert Chart.of([], [], [], []).columns == []
    assert Chart.of(["a"], [0], [0], [""]).line == "150.0,80.0"
