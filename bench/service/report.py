"""The report: figures with intervals, aims, and the dialogues that failed. In simulation."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import cell, paragraphs, table
from bench.service.figures import Run, aims_of, figures_of
from inference.evaluation import plots

MOST_SHOWN = 20  # failures


def write(folder: Path, run: Run) -> str:
    """Write report.json, report.md and two plots. Returns the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = figures_of(run)
    fields = {
        "in_simulation": True,
        "about": run.about,
        "figures": figures,
        "aims": [{**asdict(aim), "met": aim.met} for aim in aims_of(run)],
        "failures": run.failures,
    }
    (folder / "report.json").write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")
    text = page(run, figures)
    (folder / "report.md").write_text(text)
    for name, label in (("kinds", "Passed, by goal"), ("powers", "All of k trials pass")):
        svg = plots.bars({"figures": figures[name]}, f"{label}, in simulation")
        (folder / f"{name}.svg").write_text(svg + "\n")
    return text


def page(run: Run, figures: dict[str, Any]) -> str:
    words = {True: "met", False: "missed", None: "not measured"}
    aims = table(
        ["aim, in simulation", "measured", "limit", ""],
        [[a.text, cell(a.value), cell(a.limit), words[a.met]] for a in aims_of(run)],
    )
    shares = {
        "solvable goals resolved": figures["resolved"],
        "unsolvable goals handed over": figures["handed_over_unsolvable"],
        "solvable goals handed over": figures["handed_over_solvable"],
        "injections that got through": figures["injections"],
    }
    rows = [[name, *_cells(each)] for name, each in shares.items()]
    rows += [[row["name"], *_cells(row["candidate"])] for row in figures["kinds"]]
    rows += [[f"solvable, {r['name']}", *_cells(r["candidate"])] for r in figures["languages"]]
    rows += [[row["name"], *_cells(row["candidate"])] for row in figures["powers"]]
    times = figures["milliseconds_of_a_turn"]
    mean = figures["turns"]
    return (
        paragraphs(
            "# Customer service, in simulation",
            "\n".join(f"* {name}: {value}" for name, value in run.about.items()),
            aims,
            table(["figure, in simulation", "value", "95 % interval", "n"], rows),
            f"Turns on solvable goals, in simulation: {cell(mean['value'])} "
            f"({cell(mean['low'])} to {cell(mean['high'])}). Wrong actions: "
            f"{figures['wrong_actions']}. Milliseconds of a turn: {cell(times['p50'])} (median), "
            f"{cell(times['p99'])} (99th percentile).",
            "![Passed, by goal](kinds.svg)",
            "![All of k trials pass](powers.svg)",
            _failures(run.failures),
        )
        + "\n"
    )


def _cells(figure: dict[str, Any]) -> list[str]:
    if figure["value"] is None:
        return ["", "", "0"]
    interval = f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f} %"
    return [f"{100 * figure['value']:.1f} %", interval, str(figure["n"])]


def _failures(failures: Sequence[dict[str, Any]]) -> str:
    if not failures:
        return ""
    lines = [f"## Failed dialogues (the first {MOST_SHOWN} of {len(failures)})"]
    for each in failures[:MOST_SHOWN]:
        lines.append(f"* {each['kind']}, {each['language']}, wrong actions: {each['wrong']}")
        for message, step, intent, _answer in each["messages"]:
            lines.append(f"    * `{message}` → {step or 'human'} {intent}")
    return "\n".join(lines)
