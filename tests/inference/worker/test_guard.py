"""An engine that has just failed steps back for a second, where others can take what comes."""

from types import SimpleNamespace

import pytest

from inference.engines.base import EngineAway, EngineFailed
from inference.worker import guard as guard_module
from inference.worker.guard import STEP_BACK_S, Guard
from tests.inference.orders import an_item

pytestmark = pytest.mark.unit
FAILURE = EngineFailed(502, "engine_failed", "the engine answered 500")


class Told:
    """A guard that hears how requests went, one a second after the other."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock, self.guard = clock, Guard("guarded")

    def hears(self, tenant: str, failure: EngineFailed | None = None) -> bool:
        """Whether the engine steps back."""
        self.clock.now += 2 * STEP_BACK_S
        self.guard.report_outcome(an_item(tenant), failure, cancelled=False)
        return self.guard.allowed_slots(4, others=True) == 0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(guard_module, "monotonic", lambda: clock.now)
    return Told(clock)


async def test_one_that_only_fails_steps_back_each_time(told: Told) -> None:
    told.hears("acme")
    assert [told.hears("initech", FAILURE) for _ in range(3)] == [True] * 3


async def test_one_tenants_poison_does_not_stop_it_again_and_again(told: Told) -> None:
    assert told.hears("initech", FAILURE)
    for _ in range(3):
        assert not told.hears("acme")
        assert not told.hears("initech", FAILURE), "it has answered another tenant meanwhile"


async def test_what_another_tenant_meets_is_the_engines_doing(told: Told) -> None:
    assert told.hears("initech", FAILURE)
    told.hears("acme")
    assert told.hears("umbrella", FAILURE)


async def test_no_connection_is_no_requests_doing(told: Told) -> None:
    assert told.hears("initech", FAILURE)
    told.hears("acme")
    assert told.hears("initech", EngineAway("the engine does not answer"))
