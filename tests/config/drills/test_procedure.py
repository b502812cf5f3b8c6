"""One drill from its beginning to its result, on an installation that only pretends."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from config.drills import procedure
from config.drills.consistency import Recorded
from config.drills.load import Load, Refused
from config.drills.procedure import Result, Unhealthy
from console.compliance.drills.kinds import KINDS, Kind

pytestmark = pytest.mark.unit


class PretendedInstallation:
    """It answers at once, unless it is broken. `forgets`: answers that it does not record."""

    def __init__(self, *, forgets: int = 0, unwell: str = "", goes_on: bool = False) -> None:
        self.name = "rest"
        self.is_broken, self.unwell = False, unwell
        self._forgets, self._goes_on = forgets, goes_on
        self._record: dict[str, Recorded] = {}
        self.acts: list[str] = []
        self.primaries = 1

    # A door
    async def ask(self, request: str) -> Sequence[str]:
        await asyncio.sleep(0.005)
        if self.is_broken and not self._goes_on:
            raise Refused("503")
        if self._forgets:
            self._forgets -= 1
        else:
            self._record[request] = Recorded(1, len(self._record) + 1)
        return [request]

    async def close(self) -> None:
        self.acts.append("close")

    # An installation
    def load(self) -> Load:
        return Load([self], 2)

    async def problem(self) -> str:
        return self.unwell or ("broken" if self.is_broken else "")

    async def break_(self, kind: Kind) -> str:
        self.acts.append("break")
        self.is_broken = True
        if not kind.must_stop:
            asyncio.get_running_loop().call_later(0.4, self._mend)
        return "a1"

    def _mend(self) -> None:
        self.is_broken = False

    async def undo(self, kind: Kind) -> None:
        self.acts.append("undo")
        self.is_broken = False

    async def split(self) -> str:
        return "two primaries: a1, b1" if self.primaries > 1 else ""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        return {name: self._record[name] for name in ids if name in self._record}

    async def books(self) -> Mapping[str, list[str]]:
        return {"audit": [], "ledger": []}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"STEADY_S": 0.1, "STOPPED_S": 0.3, "WARM_S": 20.0}.items():
        monkeypatch.setattr(procedure, name, seconds)


async def drilled(installation: PretendedInstallation, name: str = "kill_primary") -> Result:
    return await procedure.run(KINDS[name], installation, lambda line: None)


async def test_a_good_drill_has_its_silence_and_loses_nothing() -> None:
    installation = PretendedInstallation()
    result = await drilled(installation)
    assert result.is_good
    assert installation.acts == ["break", "undo", "close"]
    assert 0.35 < result.rto_s < 60
    assert result.consistency.acknowledged >= procedure.WARM_ANSWERS + procedure.AGAIN
    assert result.doors["rest"]["answered"] == result.consistency.acknowledged


async def test_an_answer_that_is_not_on_record_fails_the_drill() -> None:
    result = await drilled(PretendedInstallation(forgets=2))
    assert not result.is_good
    assert len(result.consistency.lost) == 2


async def test_nothing_is_broken_where_not_all_is_well() -> None:
    installation = PretendedInstallation(unwell="2 primaries")
    with pytest.raises(Unhealthy, match="2 primaries"):
        await drilled(installation)
    assert installation.acts == []


async def test_two_servers_that_take_writes_fail_the_drill() -> None:
    installation = PretendedInstallation()
    installation.primaries = 2
    result = await drilled(installation)
    assert result.problems == ["two primaries: a1, b1"]


def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = KINDS["lose_witness_and_zone"]
    changed = Kind(kind.name, kind.label, kind.breaks, lasts_s=0.1, must_stop=True)
    monkeypatch.setitem(KINDS, kind.name, changed)


async def test_without_a_majority_it_has_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping(monkeypatch)
    result = await drilled(PretendedInstallation(), "lose_witness_and_zone")
    assert result.is_good
    assert result.stopped_s
    assert result.rto_s < 60


async def test_answers_without_a_majority_fail_the_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping(monkeypatch)
    result = await drilled(PretendedInstallation(goes_on=True), "lose_witness_and_zone")
    assert "without a majority" in result.problems[0]


async def test_a_switch_over_in_which_requests_fail_is_no_good_one() -> None:
    result = await drilled(PretendedInstallation(), "switch_over")
    assert "requests failed" in result.problems[-1]


async def test_what_is_broken_is_undone_when_the_drill_is_stopped() -> None:
    installation = PretendedInstallation()
    task = asyncio.create_task(drilled(installation, "lose_witness_and_zone"))
    while "break" not in installation.acts:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert installation.acts[:2] == ["break", "undo"]
    assert not installation.is_broken
