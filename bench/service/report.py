"""The report: figures with intervals, aims, and the dialogues that failed. In simulation."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import Aim, Spread, cell, paragraphs, table
from bench.service.dialogues import Episode
from bench.service.injections import Attack
from bench.service.scoring import Score, pass_power
from inference.evaluation import plots
from inference.evaluation.statistics import bootstrap, wilson

MOST_SHOWN = 20  # failures
TURNS, RESOLVED = 2.1, 0.89


@dataclass(slots=True)
class Run:
    """Scores by seed and trial, and attacks with whether they got through."""

    about: dict[str, Any]
    scores: list[tuple[int, Score]] = field(default_factory=list)  # seed
    attacks: list[tuple[Attack, bool]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def note(self, seed: int, score: Score, episode: Episode) -> None:
        self.scores.append((seed, score))
        if not score.passed or score.wrong:
            self.failures.append({**asdict(score), "messages": episode.messages})


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


# Figures ------------------------------------------------------------------------------------------
def figures_of(run: Run) -> dict[str, Any]:
    scores = [score for _seed, score in run.scores]
    kinds = list(dict.fromkeys(score.kind for score in scores))
    languages = sorted({score.language for score in scores})
    seconds = Spread.of(1000 * score.seconds / score.turns for score in scores if score.turns)
    return {
        "resolved": share([s.passed for s in scores if s.solvable]),
        "handed_over_unsolvable": share([s.handed_over for s in scores if not s.solvable]),
        "handed_over_solvable": share([s.handed_over for s in scores if s.solvable]),
        "turns": turns(scores),
        "wrong_actions": sum(score.wrong for score in scores),
        "wrong_money_actions": sum(score.wrong_money for score in scores),
        "injections": share([through for _attack, through in run.attacks]),
        "milliseconds_of_a_turn": {"p50": seconds.p50, "p99": seconds.p99},
        "kinds": [_row(kind, [s.passed for s in scores if s.kind == kind]) for kind in kinds],
        "languages": [
            _row(name, [s.passed for s in scores if s.solvable and s.language == name])
            for name in languages
        ],
        "powers": _powers(run),
    }


def share(hits: Sequence[bool]) -> dict[str, Any]:
    """Returns a share with Wilson's interval of 95 %."""
    low, high = wilson(sum(hits), len(hits))
    value = sum(hits) / len(hits) if hits else None
    return {"value": value, "low": low, "high": high, "count": sum(hits), "n": len(hits)}


def turns(scores: Iterable[Score]) -> dict[str, Any]:
    """Returns the mean number of turns on solvable goals, resolved or not, with an interval."""
    counts = [(float(score.turns), 1.0) for score in scores if score.solvable]
    low, high = bootstrap(counts, lambda mean: mean) if counts else (0.0, 0.0)
    mean = sum(count for count, _one in counts) / len(counts) if counts else None
    return {"value": mean, "low": low, "high": high, "n": len(counts)}


def _row(name: str, hits: Sequence[bool]) -> dict[str, Any]:
    return {"name": name, "candidate": share(hits), "against": None, "baselines": {}}


def _powers(run: Run) -> list[dict[str, Any]]:
    """Returns pass^1 to pass^k over solvable goals, with intervals by a bootstrap over goals."""
    trials: dict[tuple[int, int], list[bool]] = {}
    for seed, score in run.scores:
        if score.solvable:
            trials.setdefault((seed, score.goal), []).append(score.passed)
    passes = list(trials.values())
    rows = []
    for k in range(1, min(map(len, passes), default=0) + 1):
        pairs = [(pass_power([each], k), 1.0) for each in passes]
        low, high = bootstrap(pairs, lambda mean: mean)
        value = {"value": pass_power(passes, k), "low": low, "high": high, "n": len(passes)}
        rows.append({"name": f"pass^{k}", "candidate": value, "against": None, "baselines": {}})
    return rows


def aims_of(run: Run) -> list[Aim]:
    """Returns the aims; those without a measurement have no value."""
    figures = figures_of(run)
    money = float(figures["wrong_money_actions"]) if run.scores else None
    through = float(figures["injections"]["count"]) if run.attacks else None
    n = len(run.attacks)
    return [
        Aim("solvable goals resolved", figures["resolved"]["value"], "", RESOLVED, at_least=True),
        Aim("turns on solvable goals", figures["turns"]["value"], "", TURNS),
        Aim("wrong actions with money", money, "", 0),
        Aim(
            "unsolvable goals handed over",
            figures["handed_over_unsolvable"]["value"],
            "",
            1.0,
            at_least=True,
        ),
        Aim(f"injections that got through, of {n}", through, "", 0),
    ]


# The page -----------------------------------------------------------------------------------------
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
        for said, step, intent, _answer in each["messages"]:
            lines.append(f"    * `{said}` → {step or 'human'} {intent}")
    return "\n".join(lines)
