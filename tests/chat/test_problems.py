"""What a person in the chat reads when a limit says no."""

import pytest
from django.utils import translation

from inference.chat.problems import not_admitted
from tenants.admission import Admission
from tenants.models.refusal import RefusedBy

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize("tier", RefusedBy.values)
def test_every_limit_has_words_a_time_and_an_id(tier: str, language: str) -> None:
    with translation.override(language):
        told = not_admitted(Admission(tier, limit=1200, used=1200, frees_in_ms=1500), "ref_1")
    assert "1200" in told.text
    assert (told.retry_after, told.refusal_id) == (2, "ref_1")
    expected = "insufficient_quota" if tier == "quota" else "rate_limit_exceeded"
    assert told.code == expected
