"""Energy and what it emits, as pages say it."""

from typing import Any

import pytest
from django.template.loader import render_to_string

from console.templatetags.console import carbon, energy
from inference.usage.report import UsageFigures

pytestmark = pytest.mark.unit
KWH = 3_600_000_000


@pytest.mark.parametrize(
    ("millijoules", "text"),
    [
        (12_000, "12 J"),
        (1_800_000, "0.5 Wh"),
        (KWH // 2, "500.0 Wh"),
        (12_345 * KWH, "12,345.0 kWh"),
    ],
)
def test_energy_is_shown_in_a_unit_that_fits(millijoules: int, text: str) -> None:
    assert energy(millijoules) == text


def test_carbon_is_shown_only_with_a_factor(settings: Any) -> None:
    assert carbon(KWH) == ""
    settings.CARBON_G_PER_KWH = 580.0
    assert carbon(KWH) == "580 g CO₂"
    assert carbon(10 * KWH) == "5.8 kg CO₂"
    assert carbon(0) == ""


def test_the_usage_page_shows_both_where_energy_was_measured(settings: Any) -> None:
    settings.CARBON_G_PER_KWH = 580.0
    page = render_to_string(
        "console/usage/_total.html", {"total": UsageFigures(requests=3, millijoules=2 * KWH)}
    )
    assert "Energy 2.0 kWh · 1.2 kg CO₂" in page
    assert "Energy" not in render_to_string("console/usage/_total.html", {"total": UsageFigures()})
