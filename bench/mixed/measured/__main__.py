"""python -m bench.mixed.measured --trainer PYTHON [--engines N] [--seconds S] [--out FILE]

A short day of real requests to engines of the bundled model on this machine, once alone and once
with jobs of the real trainer, which get the engines that rest. Prints a table; `--out` writes
the figures. `--trainer`: the Python with PyTorch; by default that of `make .venv-train/.ready`.
"""

import argparse
from pathlib import Path

import msgspec

from bench.figures import cell, paragraphs, table
from bench.mixed.measured.day import Day, DayAlone, MeasuredDay, measured
from bench.servers.child import REPOSITORY, exit_on_sigterm

OPTIONS = {"engines": int, "seconds": float, "per_second": float, "seed": int}
TRAINER = REPOSITORY / ".venv-train" / "bin" / "python"
HEAD = ("day", "requests", "failed", "first token p50", "first token p99", "slots in use")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mixed.measured")
    for name, kind in OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--spare", action="store_const", const=True)
    parser.add_argument("--trainer", type=Path, default=TRAINER)
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args())
    exit_on_sigterm()
    trainer, out = options.pop("trainer"), options.pop("out")
    report = measured(Day(**{k: v for k, v in options.items() if v is not None}), trainer)
    print(section(report))
    if out:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def section(report: MeasuredDay) -> str:
    head = (
        f"{report.day.engines} engines, {report.day.seconds:g} s, {report.day.per_second:g} "
        f"requests a second on average: jobs had an engine's hardware for {report.gpu_s:.0f} s, "
        f"{report.saved:.1%} less hardware, first token p99 {report.slower:.2f}x."
    )
    rows = [_row("alone", report.apart), _row("with the jobs", report.mixed)]
    return paragraphs(head, table(HEAD, rows))


def _row(name: str, day: DayAlone) -> tuple[str, ...]:
    times = (day.first_token_p50_s, day.first_token_p99_s)
    return (
        name, str(day.requests), str(day.failed), *(f"{cell(each)} s" for each in times),
        f"{day.busy:.1%}",
    )  # fmt: skip


if __name__ == "__main__":
    main()
