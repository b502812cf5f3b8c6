"""What a person in the chat reads when a limit says no."""

import pytest
from django.utils import translation

from inference.chat.problems import not_admitted
from inference.intake.errors import NotAdmitted
from tenants.models.quotas.quota import Unit, Window
from tenants.models.refusal import RefusedBy
from tenants.rate_limits.admission import Admission

pytestmark = pytest.mark.unit


def refused(admission: Admission) -> NotAdmitted:
    refusal = NotAdmitted(admission)
    refusal.refusal_id = "ref_1"
    return refusal


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("tier", [tier for tier in RefusedBy.values if tier != "quota"])
def test_every_limit_has_words_a_time_and_an_id(tier: str, language: str) -> None:
    with translation.override(language):
        told = not_admitted(refused(Admission(tier, limit=1200, used=1200, frees_in_ms=1500)))
    assert "1200" in told.text
    assert (told.retry_after, told.refusal_id) == (2, "ref_1")
    assert told.code == "rate_limit_exceeded"


@pytest.mark.parametrize("window", [Window.DAY, Window.MONTH])  # a chat is no client's session
@pytest.mark.parametrize("unit", Unit.values)
def test_a_quota_is_named_with_its_unit_and_window(unit: str, window: str) -> None:
    limit = 12_500_000
    admission = Admission(
        "quota", limit=limit, used=limit, frees_in_ms=67_552_000, unit=unit, window=window
    )
    told = not_admitted(refused(admission))
    words = unit.replace("gpu_", "GPU ")
    assert ("12.50" if unit == "cost" else f"12,500,000 {words}") in told.text
    assert f"per {window} is used up" in told.text
    assert "your" not in told.text.lower()  # it may be the tenant's, a team's or the person's
    assert (told.code, told.retry_after) == ("insufficient_quota", 67_552)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(("unit", "left"), [("tokens", "1,248"), ("cost", "1.25")])
def test_what_is_left_of_a_quota_is_said(unit: str, left: str, language: str) -> None:
    limit, used = (3_000, 1_752) if unit == "tokens" else (3_000_000, 1_752_000)
    admission = Admission("quota", limit=limit, used=used, unit=unit, window=Window.DAY)
    with translation.override(language):
        assert left in not_admitted(refused(admission)).text


def test_what_the_whole_quota_is_too_small_for_is_not_promised_for_later() -> None:
    """Tomorrow's quota would refuse it as well."""
    never = not_admitted(refused(_tokens_of_700(used=0, asked=1_116)))
    assert (never.code, never.retry_after) == ("insufficient_quota", 0)
    tomorrow = not_admitted(refused(_tokens_of_700(used=600, asked=300)))
    assert tomorrow.retry_after == 40_000


def _tokens_of_700(*, used: int, asked: int) -> Admission:
    unit, window = Unit.TOKENS, Window.DAY
    return Admission("quota", 700, used, 40_000_000, unit=unit, window=window, asked=asked)
