"""The figures of a day: energy, the slowest requests, and how often anything changed."""

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from bench.energy.day import Day, Request
from bench.energy.fleet import BUCKET_S, Done, Fleet, Policy
from bench.energy.power import CLOCKS, OWN_MHZ, Gpu
from inference.energy.clock_choice import HOLD_S, Bound, Level, Point, levels, loads
from inference.energy.consolidation import Rules

BOUND = Bound(slower=0.03, first_token_ms=500)


class Result(msgspec.Struct):
    """`hourly_rise`: the highest rise of an hour's p99 over the same hour with `off`."""

    policy: str
    kwh: float
    requests: int
    answer_p99_s: float
    first_token_p99_s: float
    hourly_rise: float
    rests: int
    clock_changes: int
    oscillations: int
    watts: list[float]  # mean of each BUCKET_S
    awake: list[int]


def swept(gpu: Gpu, day: Day, bound: Bound = BOUND) -> list[Level]:
    """Returns the clocks that a sweep of the model gives."""
    points = [_point(gpu, requests, mhz, day) for requests in loads(day.slots) for mhz in CLOCKS]
    return levels(points, bound)


def _point(gpu: Gpu, requests: int, mhz: int, day: Day) -> Point:
    token_s = gpu.token_s(requests, mhz)
    first_s = gpu.prefill_s(day.prompt, mhz)
    per_token = gpu.watts(requests, mhz) * token_s / requests
    answer_s = first_s + day.answer * token_s
    return Point(requests, mhz, per_token, requests / token_s, answer_s * 1000, first_s * 1000)


def compared(
    day: Day,
    requests: Sequence[Request] | None = None,
    rules: Rules | None = None,
    bound: Bound = BOUND,
) -> list[Result]:
    """Returns the day without any act, with each of the two, and with both."""
    rules = rules or Rules()
    gpu = Gpu()
    load = requests or list(day.requests(gpu.token_s(day.slots // 2)))
    clocks = swept(gpu, day, bound)
    policies = [
        Policy("off"),
        Policy("clocks", levels=clocks),
        Policy("engines", rules),
        Policy("on", rules, clocks),
    ]
    seconds = day.hours * 3600
    fleets = [Fleet(each, day.engines, day.slots, gpu).play(load, seconds) for each in policies]
    by_hour = _by_hour(fleets[0].done)
    return [_result(policy, fleet, by_hour) for policy, fleet in zip(policies, fleets, strict=True)]


def _result(policy: Policy, fleet: Fleet, before: dict[int, float]) -> Result:
    by_hour = _by_hour(fleet.done)
    rises = [by_hour[hour] / p99 - 1 for hour, p99 in before.items() if hour in by_hour]
    kinds = [kind for _at, kind, _engine in fleet.acts]
    return Result(
        policy.name,
        sum(fleet.joules) / 3.6e6,
        len(fleet.done),
        p99([done.answer_s for done in fleet.done]),
        p99([done.first_token_s for done in fleet.done]),
        max(rises, default=0.0),
        kinds.count("rest"),
        kinds.count("up") + kinds.count("down"),
        oscillations(fleet.acts),
        [joules / BUCKET_S for joules in fleet.joules],
        fleet.awake,
    )


def oscillations(acts: Sequence[tuple[float, str, int]]) -> int:
    """Returns how often an engine or a clock went down again within the time that it must hold."""
    raised: dict[tuple[str, int], float] = {}
    number = 0
    for at, kind, engine in acts:
        if kind in ("wake", "up"):
            raised[kind, engine] = at
        counterpart, hold_s = ("wake", Rules().hold_s) if kind == "rest" else ("up", HOLD_S)
        if kind in ("rest", "down") and at - raised.get((counterpart, engine), -math.inf) < hold_s:
            number += 1
    return number


def p99(figures: Sequence[float]) -> float:
    ordered = sorted(figures)
    return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else 0.0


def _by_hour(done: Sequence[Done]) -> dict[int, float]:
    hours = defaultdict(list)
    for each in done:
        hours[int(each.at // 3600)].append(each.answer_s)
    return {hour: p99(seconds) for hour, seconds in hours.items()}


def table(results: Sequence[Result]) -> str:
    first = results[0]
    lines = [
        "| FOREBAY_ENERGY | kWh | energy | p99 of answers | p99 of first tokens | worst hour's p99 "
        "| rests | clock changes | oscillations |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        saved, slower = each.kwh / first.kwh - 1, each.answer_p99_s / first.answer_p99_s - 1
        lines.append(
            f"| {each.policy} | {each.kwh:.1f} | {saved:+.1%} | {slower:+.1%} "
            f"| {each.first_token_p99_s * 1000:.0f} ms | {each.hourly_rise:+.1%} | {each.rests} "
            f"| {each.clock_changes} | {each.oscillations} |"
        )
    return "\n".join(lines)


def described(clocks: Sequence[Level]) -> str:
    return ", ".join(f"{each.requests}: {each.mhz or OWN_MHZ} MHz" for each in clocks)
