"""What a store keeps of an idempotency key and of the body that came with it."""

import pytest
from pytest_django.fixtures import Settings

from inference.intake.idempotency_claim import Claim

pytestmark = pytest.mark.unit


def test_who_lacks_the_secret_can_test_no_guess(settings: Settings) -> None:
    """A key such as an order's number, or a short prompt, could be guessed by its plain hash."""
    settings.API_KEY_PEPPER = b"of one installation"
    here = Claim.of("order-17", "/v1/completions", {"prompt": "yes"})
    assert here == Claim.of("order-17", "/v1/completions", {"prompt": "yes"})
    settings.API_KEY_PEPPER = b"of another"
    elsewhere = Claim.of("order-17", "/v1/completions", {"prompt": "yes"})
    assert here.key != elsewhere.key
    assert here.body != elsewhere.body
