"""What a process remembers of quotas that have no room, and for how long."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from tenants.caller import QuotaRef
from tenants.quotas.charge import Charge
from tenants.quotas.ledger_answer import IN_PROGRESS_TTL_S, TTL_S, Exhausted, QuotaWithoutRoom
from tests.tenants.callers import caller

pytestmark = pytest.mark.unit
ASKED = Charge(prompt_tokens=60, completion_tokens=40)
FULL = QuotaWithoutRoom(
    quota_id=uuid4(),
    unit="tokens",
    window="day",
    limit=1000,
    used=950,
    reserved=0,
    asked=100,
    ends=datetime(2026, 12, 1, tzinfo=UTC),
)


def counted(model: str = "") -> tuple[QuotaRef, ...]:
    return (QuotaRef(FULL.quota_id, "tokens", "day", model),)


@pytest.mark.parametrize(
    ("used", "reserved", "ttl_s"), [(950, 0, TTL_S), (100, 850, IN_PROGRESS_TTL_S)]
)
def test_what_is_used_up_is_remembered_longer_than_what_may_come_back(
    used: int, reserved: int, ttl_s: float
) -> None:
    exhausted, who = Exhausted(), caller(quotas=counted())
    exhausted.remember(replace(FULL, used=used, reserved=reserved), now=10.0)
    assert exhausted.refusal(who, "small", ASKED, 10.0 + ttl_s * 0.9)
    assert exhausted.refusal(who, "small", ASKED, 10.0 + ttl_s * 1.1) is None


@pytest.mark.parametrize(("model", "refused"), [("", True), ("small", True), ("large", False)])
def test_a_models_quota_refuses_that_models_requests(model: str, refused: bool) -> None:
    exhausted, who = Exhausted(), caller(quotas=counted(model))
    exhausted.remember(FULL, now=10.0)
    assert bool(exhausted.refusal(who, "small", ASKED, 10.1)) is refused


def test_nobody_is_refused_for_a_quota_that_does_not_count_them() -> None:
    exhausted = Exhausted()
    exhausted.remember(FULL, now=10.0)
    assert exhausted.refusal(caller(), "small", ASKED, 10.1) is None


@pytest.mark.parametrize(("tokens", "refused"), [(40, True), (41, True), (39, False)])
def test_who_asks_for_less_is_not_refused(tokens: int, refused: bool) -> None:
    exhausted, who = Exhausted(), caller(quotas=counted())
    exhausted.remember(FULL, now=10.0)
    asked = Charge(prompt_tokens=60, completion_tokens=tokens)
    assert bool(exhausted.refusal(who, "small", asked, 10.1)) is refused


@pytest.mark.parametrize(("session", "refused"), [(UUID(int=1), True), (UUID(int=2), False)])
def test_a_full_session_refuses_its_own_requests_alone(session: UUID, refused: bool) -> None:
    exhausted = Exhausted()
    who = caller(quotas=(QuotaRef(FULL.quota_id, "tokens", "session", ""),))
    exhausted.remember(replace(FULL, window="session"), 10.0, UUID(int=1))
    assert bool(exhausted.refusal(who, "small", ASKED, 10.1, session)) is refused
    assert exhausted.refusal(who, "small", ASKED, 10.1) is None
