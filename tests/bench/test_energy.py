"""The study of energy: its model is like the published figures, and its day like its aims."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.energy.day import Day, recorded
from bench.energy.power import CLOCKS, OWN_MHZ, Gpu
from bench.energy.report import Result, compared, oscillations, swept, table
from config.environment import PROJECT

pytestmark = pytest.mark.unit
FIGURES = PROJECT / "bench" / "results" / "2026-11-30-energy.json"


def test_the_model_has_the_published_power() -> None:
    gpu = Gpu()
    assert (gpu.watts(0), gpu.watts(1), gpu.watts(128)) == (120, 300, 600)


def test_the_model_has_a_u_and_saves_less_than_what_was_published() -> None:
    gpu = Gpu()
    for requests in (1, 16):
        energy = [gpu.watts(requests, mhz) * gpu.token_s(requests, mhz) for mhz in CLOCKS]
        assert 0.15 < 1 - min(energy) / energy[0] < 0.24
    assert energy.index(min(energy)) not in (0, len(CLOCKS) - 1), "at 16 the bottom is in between"


def test_a_sweep_of_the_model_gives_lower_clocks_to_lower_load() -> None:
    clocks = [level.mhz or OWN_MHZ for level in swept(Gpu(), Day())]
    assert clocks == sorted(clocks)
    assert clocks[0] < OWN_MHZ


def test_a_night_takes_less_energy_and_nothing_swings() -> None:
    night = replace(Day(), engines=3, hours=1.5, begins_h=1, share=0.2)
    off, clocks, engines, on = compared(night)

    assert off.kwh > max(clocks.kwh, engines.kwh) > min(clocks.kwh, engines.kwh) > on.kwh
    assert (off.rests, off.clock_changes) == (0, 0)
    assert (on.rests, on.awake[-1]) == (2, 1)
    assert {each.oscillations for each in (off, clocks, engines, on)} == {0}
    assert on.requests == pytest.approx(off.requests, abs=3), "all are answered in the end"
    assert "| on |" in table([off, clocks, engines, on])


def test_the_same_seed_gives_the_same_day() -> None:
    day = replace(Day(), engines=2, hours=0.2)
    assert compared(day) == compared(day)


def test_an_act_that_is_undone_too_early_counts_as_an_oscillation() -> None:
    assert oscillations([(0, "wake", 1), (299, "rest", 1)]) == 1
    assert oscillations([(0, "wake", 1), (700, "rest", 1), (701, "wake", 1)]) == 0
    assert oscillations([(0, "up", 1), (10, "down", 1), (10, "down", 2)]) == 1


def test_a_recorded_day_is_read(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    file.write_text("at_s,prompt_tokens,answer_tokens\n1.5,200,50\n2,10,0\n")
    assert [(each.at, each.prompt, each.answer) for each in recorded(file)] == [
        (1.5, 200, 50),
        (2.0, 10, 1),
    ]


def test_the_committed_day_is_what_this_code_makes_of_it() -> None:
    """Its first hour, which is the same however long the day is."""
    committed = msgspec.json.decode(FIGURES.read_bytes(), type=list[Result])
    for result, whole in zip(compared(replace(Day(), hours=1)), committed, strict=True):
        assert result.policy == whole.policy
        assert result.watts == pytest.approx(whole.watts[: len(result.watts)])
        assert result.awake == whole.awake[: len(result.awake)]


def test_the_committed_day_reaches_its_aims() -> None:
    by_name = {
        each.policy: each for each in msgspec.json.decode(FIGURES.read_bytes(), type=list[Result])
    }
    off, on = by_name["off"], by_name["on"]
    assert 1 - on.kwh / off.kwh >= 0.30
    assert on.answer_p99_s / off.answer_p99_s - 1 <= 0.03
    assert on.oscillations == 0
