"""The option of a pool that lends: what it may say, its hours, and how many servers stay loaded."""

from datetime import UTC, datetime
from typing import Any

import pytest

from inference.energy.consolidation import Member, Rules, loaded
from inference.engine_entries import entries, name_problem
from inference.pool_policy import BadPolicy, LendingRules, PoolPolicy, check

pytestmark = pytest.mark.unit


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"awake": 1}, "return_s"),
        ({"return_s": 0}, "return_s"),
        ({"return_s": 601}, "return_s"),
        ({"return_s": True}, "return_s"),
        ({"return_s": 25, "awake": 0}, "awake"),
        ({"return_s": 25, "kept": 0}, "awake"),
        ({"return_s": 25, "awake": 1, "kept": 1}, "the same"),
        ({"return_s": 25, "spare": "no"}, "spare"),
        ({"return_s": 25, "hours": "22-6h"}, "time of day"),
        ({"return_s": 25, "hours": 22}, "hours"),
        ({"return_s": 25, "time_zone": "../etc/passwd"}, "time zone"),
        ({"return_s": 25, "time_zone": 7}, "time zone"),
        ({"return_s": 25, "nights": True}, "nights"),
        ([25], "object"),
    ],
)
def test_what_is_wrong_is_named(fields: Any, problem: str) -> None:
    with pytest.raises(BadPolicy, match=problem) as refusal:
        check(PoolPolicy(lending=fields), [])
    assert refusal.value.field == "lending"


def test_without_it_a_pool_does_not_lend() -> None:
    assert LendingRules.of({}) is None
    assert LendingRules.of({"return_s": 25}) == LendingRules(25, awake=1, spare=True)


@pytest.mark.parametrize(("spare", "never_lent"), [(True, 3), (False, 2), ("auto", 2)])
def test_engines_that_are_never_lent(spare: Any, never_lent: int) -> None:
    lending = LendingRules.of({"return_s": 25, "awake": 2, "spare": spare})
    assert lending
    assert lending.stays_loaded == never_lent


def test_its_older_name_for_engines_that_are_awake_still_counts() -> None:
    assert LendingRules.of({"return_s": 25, "kept": 3}) == LendingRules.of(
        {"return_s": 25, "awake": 3}
    )


def test_the_file_has_it_beside_the_pools_other_options() -> None:
    pool = {"kind": "vllm", "url": "http://gpu-1:8000/v1", "lending": {"return_s": 25}}
    (entry,) = entries({"qwen": {"pools": {"here": pool}}})
    assert entry.policy.lending == {"return_s": 25}
    assert "lending" not in entry.fields


def test_its_hours_are_those_of_its_time_zone_and_hold_long_enough_to_come_back() -> None:
    night = LendingRules.of({"return_s": 25, "hours": "22:00-06:00", "time_zone": "Asia/Shanghai"})
    assert night
    assert night.is_open(at("2026-03-10T14:00"))
    assert not night.is_open(at("2026-03-10T13:59"))
    assert night.is_open(at("2026-03-10T21:58"), ahead_s=85)
    assert not night.is_open(at("2026-03-10T21:59"), ahead_s=85)


def test_nothing_else_has_the_name_of_a_queue_of_jobs() -> None:
    assert name_problem("qwen:jobs")
    assert not name_problem("jobs")


@pytest.mark.parametrize(
    ("load", "spare", "expected"), [(0, 1, 2), (0, 0, 1), (3, 1, 3), (3, 0, 2), (9, 0, 4)]
)
def test_servers_that_stay_loaded_with_and_without_a_spare(
    load: int, spare: int, expected: int
) -> None:
    members = [Member(str(number), slots=4) for number in range(4)]
    assert loaded(Rules(full=0.58, spare=spare), members, load) == expected


@pytest.mark.parametrize(("load", "expected"), [(0, 1), (1, 1), (2, 2), (4, 2), (9, 4)])
def test_servers_that_stay_loaded_for_a_burst(load: int, expected: int) -> None:
    """A load of 2 and twice its root need more than four slots, one of 4 needs eight."""
    members = [Member(str(number), slots=4) for number in range(4)]
    assert loaded(Rules(full=0.58, spare=0, burst=2.0), members, load) == expected
