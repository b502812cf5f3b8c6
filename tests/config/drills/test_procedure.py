"""One drill from its beginning to its result, on an installation that only pretends."""

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from config.command import drill as command
from config.drills import load, procedure, session
from config.drills.consistency import Mark, Recorded
from config.drills.load import Load, Refused
from config.drills.procedure import Result, Unhealthy
from console.compliance.drills.kinds import KINDS, Kind

pytestmark = pytest.mark.unit


class PretendedInstallation:
    """It answers at once, unless it is broken. `forgets`: answers that it does not record."""

    def __init__(
        self, *, forgets: int = 0, doubles: int = 0, unwell: str = "", goes_on: bool = False
    ) -> None:
        self.name, self.size = "rest", 1
        self.is_broken, self.unwell = False, unwell
        self._forgets, self._doubles, self._goes_on = forgets, doubles, goes_on
        self._record: dict[str, Recorded] = {}
        self.acts: list[str] = []
        self.primaries, self.primary_name = 1, "a1"
        self.heir = "b1"  # that becomes primary

    # A door
    async def ask(self, request: str) -> Sequence[str]:
        await asyncio.sleep(0.005)
        if self.is_broken and not self._goes_on:
            raise Refused("503")
        if self._forgets:
            self._forgets -= 1
        else:
            self._write(request)
        if self._doubles:
            self._doubles -= 1
            self._write(f"{request} again")
        return [request]

    def _write(self, name: str) -> None:
        self._record[name] = Recorded(1, len(self._record) + 1)

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
        self.primary_name, self.heir = self.heir, self.primary_name

    async def undo(self, kind: Kind) -> None:
        self.acts.append("undo")
        self.is_broken = False

    async def split(self) -> str:
        return "two primaries: a1, b1" if self.primaries > 1 else ""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        return {name: self._record[name] for name in ids if name in self._record}

    async def primary(self) -> str:
        return "" if self.is_broken else self.primary_name

    async def mark(self) -> Mark:
        return Mark(event=len(self._record))

    async def others(self, ids: Sequence[str], since: Mark) -> Sequence[str]:
        return [
            name
            for name, row in self._record.items()
            if row.position > since.event and name not in ids
        ]

    async def books(self, since: Mark) -> Mapping[str, list[str]]:
        return {"audit": [], "ledger": []}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "STEADY_S": 0.1,
        "STOPPED_S": 0.3,
        "WARM_S": 20.0,
        "BEGIN_S": 0.3,
    }.items():
        monkeypatch.setattr(procedure, name, seconds)


async def drilled(installation: PretendedInstallation, name: str = "kill_primary") -> Result:
    result = Result(KINDS[name], time.time())
    await procedure.run(result, installation, lambda line: None)
    return result


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


async def test_a_drill_begins_once_a_moments_trouble_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(procedure, "BEGIN_S", 20.0)
    installation = PretendedInstallation(unwell="2 standbys count for the quorum")
    drill = asyncio.create_task(drilled(installation))
    await asyncio.sleep(0.2)
    installation.unwell = ""
    assert (await drill).is_good


async def test_two_servers_that_take_writes_fail_the_drill() -> None:
    installation = PretendedInstallation()
    installation.primaries = 2
    result = await drilled(installation)
    assert result.problems == ["two primaries: a1, b1"]


async def test_a_request_that_ran_twice_under_two_ids_fails_the_drill() -> None:
    result = await drilled(PretendedInstallation(doubles=1))
    assert [name.endswith(" again") for name in result.consistency.doubled] == [True]
    assert not result.is_good


async def test_it_stays_broken_until_another_server_is_primary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers of the first moments are those of requests that were under way, and no take-over."""
    monkeypatch.setitem(KINDS, "cut_primary", replace(KINDS["cut_primary"], bound_s=0.3))
    installation = PretendedInstallation(goes_on=True)
    installation.heir = "a1"
    result = await drilled(installation, "cut_primary")
    assert result.problems == ["no other server became primary within 0.3 s"]
    assert result.undone_at - result.broken_at > 0.3


class TwoDoors(PretendedInstallation):
    """The second one never answers again once something was broken."""

    def load(self) -> Load:
        return Load([self, SilentDoor(self)], 1)


class SilentDoor:
    name, size = "grpc", 1

    def __init__(self, first: PretendedInstallation) -> None:
        self._first = first

    async def ask(self, request: str) -> Sequence[str]:
        if self._first.acts:
            await asyncio.Event().wait()
        return await self._first.ask(request)

    async def close(self) -> None:
        pass


async def test_a_front_door_that_stays_silent_fails_the_drill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(procedure, "DOORS_S", 0.3)
    monkeypatch.setattr(load, "LAST_S", 0.1)
    result = await drilled(TwoDoors())
    assert result.problems == ["no answers after the break was undone: grpc"]
    assert "no answer until the end" in result.doors["grpc"]["failures"]
    assert result.consistency.is_exact


class Stuck(PretendedInstallation):
    async def undo(self, kind: Kind) -> None:
        raise Unhealthy("not undone: ssh failed")


def test_a_drill_that_could_not_be_undone_is_in_the_report_and_the_last() -> None:
    lines: list[str] = []
    (result,) = session.drill([KINDS["kill_primary"]] * 2, Stuck(), lines.append)
    assert result.problems == ["not undone: ssh failed"]
    assert "stopped: something is still broken" in lines[-1]


class Fragile(PretendedInstallation):
    """Its record cannot be read after the second drill."""

    async def record(self, ids: Sequence[str]) -> Mapping[str, Recorded]:
        if self.acts.count("undo") == 2:
            raise OSError("the database is away")
        return await super().record(ids)


def test_a_drill_whose_record_cannot_be_read_has_failed() -> None:
    good, bad = session.drill([KINDS["kill_primary"]] * 2, Fragile(), lambda line: None)
    assert good.is_good
    assert bad.problems == ["the database is away"]


class Stopped(PretendedInstallation):
    """Somebody types Ctrl-C, or systemd stops the drill, while something is broken."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__()
        self._number = number

    async def break_(self, kind: Kind) -> str:
        broken = await super().break_(kind)
        if self.acts.count("break") == 2:
            signal.raise_signal(self._number)
        return broken


@pytest.fixture
def handlers() -> Iterator[None]:
    """Those of `forebay drill run`; what runs in a shell's background has none for Ctrl-C."""
    wanted = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: command.stop}
    usual = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    yield
    for number, handler in usual.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_stopped_is_undone_and_in_the_report(number: signal.Signals) -> None:
    installation, lines = Stopped(number), list[str]()
    results = session.drill([KINDS["kill_primary"]] * 3, installation, lines.append)
    assert [result.is_good for result in results] == [True, False]
    assert results[1].problems == ["stopped before its end"]
    assert results[1].undone_at
    assert installation.acts.count("undo") == 2
    assert "by whoever began it" in lines[-1]


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
