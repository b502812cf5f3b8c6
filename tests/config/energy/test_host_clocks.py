"""The governor of one host: what it asks the agent for, and what is on record."""

from typing import Any

import pytest

from audit.actions import Action
from config.energy.client import AgentClient, AgentError
from config.energy.host_clocks import PAUSE_S, EngineLoad, HostClocks
from inference.energy.clock_choice import HOLD_S, Level

pytestmark = pytest.mark.unit
LEVELS = [Level(4, 1005), Level(16, 1500)]
KNOWN = {
    ("qwen.1", ("0",)): LEVELS,
    ("qwen.1", ("0", "1")): LEVELS,
    ("qwen.2", ("0",)): LEVELS,
    ("qwen.2", ("GPU-1b2c",)): LEVELS,
}


class Agent(AgentClient):
    """Plays the agent: `clocks` as it has them, `refusal` where it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.clocks: dict[str, int] = {}
        self.requests: list[str] = []
        self.refusal = ""

    def _ask(self, request: str) -> str:
        self.requests.append(request)
        if self.refusal:
            raise AgentError(self.refusal)
        verb, gpu, *mhz = request.split()
        self.clocks.pop(gpu, None) if verb == "reset" else self.clocks.update({gpu: int(mhz[0])})
        return f"ok {request}"


class Host:
    def __init__(self) -> None:
        self.agent, self.now = Agent(), 0.0
        self.on_record: list[tuple[Action, dict[str, Any]]] = []
        self.records = True
        self.clocks = HostClocks(self.agent, KNOWN, self._record)

    def _record(self, action: Action, detail: dict[str, Any]) -> bool:
        if self.records:
            self.on_record.append((action, detail))
        return self.records

    def run(self, seconds: float, *loads: EngineLoad) -> None:
        for _ in range(int(seconds)):
            self.now += 1
            self.clocks.step(self.now, loads)

    @property
    def acts(self) -> list[Action]:
        return [action for action, _detail in self.on_record]


@pytest.fixture
def host() -> Host:
    return Host()


def load(running: int, waiting: int = 0, name: str = "qwen.1", *gpus: str) -> EngineLoad:
    return EngineLoad(name, gpus or ("0",), running, waiting)


def test_nothing_is_locked_before_the_load_was_seen_for_a_minute(host: Host) -> None:
    host.run(HOLD_S, load(2))
    assert host.agent.requests == []
    host.run(1, load(2))
    assert host.agent.clocks == {"0": 1005}


def test_a_lock_is_asked_for_each_second_and_recorded_once(host: Host) -> None:
    host.run(HOLD_S + 10, load(2))

    assert host.agent.requests == ["lock 0 1005"] * 10
    assert host.on_record == [
        (
            Action.GPU_LOCK,
            {"gpu": "0", "mhz": 1005, "before": None, "engine": "qwen.1", "running": 2}
            | {"waiting": 0},
        )
    ]


def test_more_load_raises_the_clock_at_once_and_too_much_gives_it_back(host: Host) -> None:
    host.run(HOLD_S + 1, load(2))
    host.run(1, load(9))
    assert host.agent.clocks == {"0": 1500}
    host.run(1, load(40))
    assert host.agent.clocks == {}
    assert host.acts == [Action.GPU_LOCK, Action.GPU_LOCK, Action.GPU_RESET]


def test_a_real_time_request_that_waits_gives_the_clock_back(host: Host) -> None:
    host.run(HOLD_S + 1, load(2))
    host.run(1, load(2, waiting=1))

    assert host.agent.clocks == {}


def test_all_gpus_of_an_engine_have_its_clock(host: Host) -> None:
    host.run(HOLD_S + 1, load(2, 0, "qwen.1", "0", "1"))

    assert host.agent.clocks == {"0": 1005, "1": 1005}


def test_a_gpu_of_two_engines_has_the_higher_clock(host: Host) -> None:
    host.run(HOLD_S + 1, load(2), load(9, 0, "qwen.2"))
    assert host.agent.clocks == {"0": 1500}
    host.run(1, load(2), load(9, 0, "qwen.2"), load(1, 0, "an engine without a sweep"))
    assert host.agent.clocks == {}


def test_a_sweep_of_other_gpus_says_nothing_of_these(host: Host) -> None:
    host.run(HOLD_S + 1, load(2, 0, "qwen.2", "1"))

    assert host.agent.requests == []


def test_gpus_that_may_have_two_names_keep_the_drivers_clock(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """One engine would lower the clock of another, which has much to do."""
    host.run(HOLD_S + 1, load(2))
    assert host.agent.clocks == {"0": 1005}
    host.run(HOLD_S + 1, load(2), load(9, 0, "qwen.2", "GPU-1b2c"))

    assert host.agent.clocks == {}
    assert caplog.text.count("ALERT energy:clocks: name the GPUs of a host") == 1


def test_an_engine_that_is_gone_gives_its_clock_back(host: Host) -> None:
    host.run(HOLD_S + 1, load(2))
    host.run(1)

    assert host.agent.clocks == {}
    assert host.acts == [Action.GPU_LOCK, Action.GPU_RESET]


def test_without_a_record_there_is_no_act(host: Host) -> None:
    host.records = False
    host.run(HOLD_S + 5, load(2))
    assert host.agent.requests == []
    host.records = True
    host.run(1, load(2))
    assert host.agent.clocks == {"0": 1005}


def test_a_clock_that_cannot_be_changed_on_record_is_not_held_either(host: Host) -> None:
    host.run(HOLD_S + 1, load(9))
    host.records = False
    before = len(host.agent.requests)
    host.run(HOLD_S + 60, load(2))

    assert "lock 0 1005" not in host.agent.requests
    assert len(host.agent.requests) < before + HOLD_S + 40, "the agent resets it"


def test_an_agent_that_refuses_is_on_record_and_asked_again_after_a_pause(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.run(HOLD_S + 1, load(2))
    host.agent.refusal = "GPU 0: it has fallen off the bus"
    host.run(PAUSE_S, load(2))
    assert caplog.text.count("ALERT energy:clocks: GPU 0: it has fallen off the bus") == 1
    assert host.acts == [Action.GPU_LOCK, Action.GPU_RESET]
    assert host.on_record[-1][1]["reason"] == host.agent.refusal

    host.agent.refusal, host.agent.clocks = "", {}
    host.run(1, load(2))
    assert host.agent.clocks == {"0": 1005}


def test_a_gpu_that_cannot_be_locked_harms_no_other(host: Host) -> None:
    class HalfBroken(Agent):
        def _ask(self, request: str) -> str:
            if request.split()[1] == "0":
                raise AgentError("GPU 0: it cannot lock clocks")
            return super()._ask(request)

    host.agent = HalfBroken()
    host.clocks = HostClocks(host.agent, KNOWN, host._record)
    host.run(HOLD_S + 1, load(2, 0, "qwen.1", "0", "1"))

    assert host.agent.clocks == {"1": 1005}
