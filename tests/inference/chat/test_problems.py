"""What a person in the chat reads when a limit says no."""

import pytest
from django.utils import translation

from inference.chat.problems import not_admitted
from tenants.models.quota import Unit, Window
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("tier", [tier for tier in RefusedBy.values if tier != "quota"])
def test_every_limit_has_words_a_time_and_an_id(tier: str, language: str) -> None:
    with translation.override(language):
        told = not_admitted(Admission(tier, limit=1200, used=1200, frees_in_ms=1500), "ref_1")
    assert "1200" in told.text
    assert (told.retry_after, told.refusal_id) == (2, "ref_1")
    assert told.code == "rate_limit_exceeded"


@pytest.mark.parametrize("window", Window.values)
@pytest.mark.parametrize("unit", Unit.values)
def test_a_quota_is_named_with_its_unit_and_window(unit: str, window: str) -> None:
    refused = Admission("quota", limit=12_500_000, frees_in_ms=67_552_000, unit=unit, window=window)
    told = not_admitted(refused, "ref_1")
    assert ("12.50" if unit == "cost" else f"12,500,000 {unit}") in told.text
    assert f"per {window}" in told.text
    assert "your" not in told.text.lower()  # it may be the tenant's, a team's or the person's
    assert (told.code, told.retry_after) == ("insufficient_quota", 67_552)
