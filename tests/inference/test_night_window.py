"""The night window on a virtual clock: ramps, clocks that are set, days of 23 and 25 hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from inference.pool_policy import BadPolicy, PoolPolicy, PoolWindow, check

pytestmark = pytest.mark.unit
BERLIN, SHANGHAI, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai"), ZoneInfo("UTC")
MINUTE = timedelta(minutes=1)


def window(text: str = "22:00-06:00", **changes: int) -> PoolWindow:
    found = PoolWindow.parse(text, **changes)
    assert found
    return found


def at(text: str, zone: ZoneInfo = UTC_ZONE, *, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).astimezone(UTC)


def test_without_a_window_there_is_none() -> None:
    assert PoolWindow.parse("") is None


@pytest.mark.parametrize("text", ["22:00", "22-6h", "25:00-06:00", "08:00-08:00"])
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time of day like 22:00|same time"):
        PoolWindow.parse(text)


def test_a_ramp_must_fit() -> None:
    with pytest.raises(ValueError, match="ramp"):
        PoolWindow.parse("22:00-23:00", ramp=31)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-10T21:59", 2),
        ("2026-03-10T22:00", 64),
        ("2026-03-11T00:00", 64),
        ("2026-03-11T05:59", 64),
        ("2026-03-11T06:00", 2),
    ],
)
def test_it_goes_past_midnight(moment: str, expected: int) -> None:
    assert window(outside=2).at_once(at(moment), UTC_ZONE, 64) == expected


def test_by_day_as_well() -> None:
    noon = window("11:00-13:00")
    assert [noon.at_once(at(f"2026-03-10T{h}:30"), UTC_ZONE, 8) for h in (10, 11, 12, 13)] == [
        0,
        8,
        8,
        0,
    ]


def test_it_is_the_tenants_clock() -> None:
    """14:30 UTC is 22:30 in Shanghai."""
    moment = at("2026-03-10T14:30")
    assert window().at_once(moment, SHANGHAI, 64) == 64
    assert window().at_once(moment, UTC_ZONE, 64) == 0


def test_it_ramps_up_and_down() -> None:
    slow = window(ramp=60)
    opens = at("2026-03-10T22:00")
    found = [slow.at_once(opens + n * MINUTE, UTC_ZONE, 60) for n in range(8 * 60)]
    assert found[:60] == list(range(1, 61))
    assert set(found[60:420]) == {60}
    assert found[420:] == list(range(60, 0, -1))


def test_in_its_ramp_there_are_no_fewer_than_outside() -> None:
    slow, opens = window(ramp=60, outside=10), at("2026-03-10T22:00")
    assert slow.at_once(opens - MINUTE, UTC_ZONE, 60) == 10
    assert slow.at_once(opens, UTC_ZONE, 60) == 10
    assert slow.at_once(opens + 30 * MINUTE, UTC_ZONE, 60) == 31


def test_a_clock_that_is_set_back_and_forth_leaves_nothing_behind() -> None:
    night, moments = window(ramp=30, outside=1), ["21:00", "23:30", "21:59", "22:00", "12:00"]
    once = [night.at_once(at(f"2026-03-10T{m}"), UTC_ZONE, 30) for m in moments]
    again = [night.at_once(at(f"2026-03-10T{m}"), UTC_ZONE, 30) for m in reversed(moments)]
    assert once == list(reversed(again)) == [1, 30, 1, 1, 1]


def test_the_next_opening() -> None:
    night = window()
    assert night.opens_next(at("2026-03-10T12:00:31"), UTC_ZONE) == at("2026-03-10T22:00")
    assert night.opens_next(at("2026-03-10T06:00"), UTC_ZONE) == at("2026-03-10T22:00")


def open_minutes(text: str, date: str) -> int:
    """Of the 48 hours from a noon in Berlin on."""
    some, noon = window(text), at(f"{date}T12:00", BERLIN)
    return sum(some.is_open(noon + n * MINUTE, BERLIN) for n in range(48 * 60))


def test_the_night_in_which_clocks_go_forward() -> None:
    """02:00 to 03:00 is left out on 2026-03-29 in Berlin: that night is an hour shorter."""
    assert open_minutes("22:00-06:00", "2026-03-28") == 7 * 60 + 8 * 60
    before = at("2026-03-29T01:59", BERLIN)
    night = window("02:30-04:00")
    assert not night.is_open(before, BERLIN)
    assert night.opens_next(before, BERLIN) == before + MINUTE == at("2026-03-29T03:00", BERLIN)


def test_the_night_in_which_clocks_go_back() -> None:
    """02:00 to 03:00 comes twice on 2026-10-25 in Berlin."""
    assert open_minutes("22:00-06:00", "2026-10-24") == 9 * 60 + 8 * 60
    night = window("02:30-02:45")
    first, second = (at("2026-10-25T02:30", BERLIN, fold=fold) for fold in (0, 1))
    assert second - first == timedelta(hours=1)
    assert night.is_open(first, BERLIN)
    assert night.is_open(second, BERLIN)
    assert night.opens_next(first + 20 * MINUTE, BERLIN) == second


def test_a_window_that_the_shift_leaves_out_opens_the_day_after() -> None:
    night = window("02:10-02:50")
    assert night.opens_next(at("2026-03-28T12:00", BERLIN), BERLIN) == at(
        "2026-03-30T02:10", BERLIN
    )


# Of a pool ----------------------------------------------------------------------------------------
def test_a_pool_says_its_own() -> None:
    found = PoolWindow.of({"hours": "22:00-06:00", "ramp_minutes": 30, "outside": 2})
    assert found == PoolWindow(22 * 60, 6 * 60, 30, 2)
    assert PoolWindow.of({"hours": ""}) is None


@pytest.mark.parametrize(
    "given",
    [{}, {"hours": 22}, {"hours": "22-6h"}, {"hours": "22:00-06:00", "ramp": 3}]
    + [{"hours": "22:00-06:00", name: -1} for name in ("ramp_minutes", "outside")]
    + [{"hours": "22:00-06:00", "outside": True}],
)
def test_what_no_pool_can_say(given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PoolWindow.of(given)
    if given:
        with pytest.raises(BadPolicy, match="window"):
            check(PoolPolicy(window=given), ["batch"])
