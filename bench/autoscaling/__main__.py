"""python -m bench.autoscaling [--out FILE.svg]: a day under each rule, as a table and a picture."""

import argparse
from pathlib import Path

from bench.autoscaling.day import LOAD_MINUTES, SLOTS, WAYS, Day, simulated
from bench.cells import table
from bench.svg_plot import Lines, document

HEAD = (
    "rule",
    "GPU hours",
    "most pods",
    "up / down",
    "turns",
    "wait P99, s",
    "longest, s",
    "unfinished",
)
LOADS = (1.0, LOAD_MINUTES, 15.0)
EVERY = 10  # minutes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling")
    parser.add_argument("--out", type=Path, help="the picture")
    options = parser.parse_args()
    days = {by: simulated(by) for by in WAYS}
    print(table(HEAD, [_row(by, day) for by, day in days.items()]))
    rule = "slots 80 % and wait"
    loaded = {each: simulated(rule, load_minutes=each) for each in LOADS}
    print()
    print(table(HEAD, [_row(f"{rule}, {each:g} min to load", day) for each, day in loaded.items()]))
    if options.out:
        options.out.write_text(picture(days))


def picture(days: dict[str, Day]) -> str:
    shown = {by: day for by, day in days.items() if not by.startswith("always")}
    any_day = next(iter(shown.values()))
    hours = [minute / 60 for minute in range(0, len(any_day.pods), EVERY)]
    need = [sum(any_day.load[m : m + EVERY]) / EVERY / SLOTS for m in range(0, 1440, EVERY)]
    pods = {by: [float(n) for n in day.pods[::EVERY]] for by, day in shown.items()}
    charts = [
        Lines(by, hours, {"pods": ran, "needed": need[: len(hours)]}, "hours")
        for by, ran in pods.items()
    ]
    return document(charts, "python -m bench.autoscaling")


def _row(name: str, day: Day) -> tuple[str, ...]:
    return (
        name,
        f"{day.gpu_hours:.0f}",
        str(day.most),
        f"{day.ups} / {day.downs}",
        str(day.turns),
        f"{day.p99_s:.1f}",
        f"{day.longest_s:.1f}",
        str(day.unfinished),
    )


if __name__ == "__main__":
    main()
