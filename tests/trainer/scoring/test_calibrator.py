"""A calibrator is a JSON file of numbers, and the same map when it is read again."""

import json
from pathlib import Path

import pytest

from trainer.scoring.calibrator import (
    Calibrator,
    Isotonic,
    Platt,
    read_calibrator,
    write_calibrator,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "calibrator", [Platt(1.5, -0.3), Isotonic([0.1, 0.4, 0.9], [0.0, 0.5, 0.6])]
)
def test_it_is_the_same_when_it_is_read_again(calibrator: Calibrator, tmp_path: Path) -> None:
    path = tmp_path / "calibrator.json"
    write_calibrator(calibrator, path, rows=7)
    again = read_calibrator(path)
    assert [again(n / 20) for n in range(21)] == [calibrator(n / 20) for n in range(21)]
    assert json.loads(path.read_text())["rows"] == 7


def test_platt_that_changes_nothing() -> None:
    assert Platt(1.0, 0.0)(0.3) == pytest.approx(0.3)


def test_a_steep_curve_ends_at_0_and_1() -> None:
    curve = Platt(1e6, 0.0)
    assert [curve(score) for score in (0.0, 0.5, 1.0)] == [0.0, 0.5, 1.0]


def test_isotonic_is_straight_between_its_points_and_even_beyond() -> None:
    curve = Isotonic([0.2, 0.4, 0.8], [0.1, 0.1, 0.9])
    assert [curve(0.0), curve(0.3), curve(1.0)] == [0.1, 0.1, 0.9]
    assert curve(0.6) == pytest.approx(0.5)
    assert curve(0.8) == 0.9


def test_another_file_is_no_calibrator(tmp_path: Path) -> None:
    path = tmp_path / "calibrator.json"
    path.write_text('{"format": "something"}')
    with pytest.raises(ValueError, match="no calibrator"):
        read_calibrator(path)
