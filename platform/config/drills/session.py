"""Drills one after the other: order, results and report, here and in tests/drills."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connections

from config.drills import procedure
from config.drills.procedure import Installation, Result, Unhealthy
from console.compliance import signed_report
from console.compliance.drills import document, report
from console.compliance.drills.kinds import Kind
from console.compliance.signed_report import Report

Say = Callable[[str], None]
LANGUAGES = ("en", "zh-hans")


def ordered(kinds: Sequence[Kind], rounds: int, seed: int) -> list[Kind]:
    """Returns each kind as often as there are rounds, in an order that the seed gives again."""
    every = [kind for kind in kinds for _ in range(rounds)]
    random.Random(seed).shuffle(every)  # noqa: S311 it hides nothing
    return every


def drill(
    kinds: Sequence[Kind],
    installation: Installation,
    say: Say,
    allowed: Callable[[Kind], bool] = lambda kind: True,
) -> list[Result]:
    """Returns the results, of each drill that broke something: also where no further one begins.

    Raises what kept even the first from beginning: Unhealthy, KeyboardInterrupt, and others.
    """
    results: list[Result] = []
    try:
        for number, kind in enumerate(kinds, 1):
            if allowed(kind):
                say(f"{number}/{len(kinds)} {kind.label.en}")
                _make(kind, installation, say, results)
    except (Exception, KeyboardInterrupt) as problem:  # the report on the others is worth more
        if not results:
            raise
        say(f"  stopped: {str(problem) or 'by whoever began it'}")
    finally:
        connections.close_all()  # the server that they led to may be gone
    return results


def _make(kind: Kind, installation: Installation, say: Say, results: list[Result]) -> None:
    """Make a drill. Its result is one of the results as soon as anything was broken.

    Raises Unhealthy, or what stopped it, where no further one may begin.
    """
    result = Result(kind, time.time())
    try:
        asyncio.run(procedure.run(result, installation, say))
    except KeyboardInterrupt:
        result.problems.append("stopped before its end")
        raise
    finally:
        if result.broken_at:
            results.append(result)
            say(f"  {in_words(result)}")
    if not result.undone_at:
        raise Unhealthy("something is still broken: `forebay drill undo`")


def in_words(result: Result) -> str:
    consistency = result.consistency
    counts = {
        "lost": len(consistency.lost),
        "doubled": len(consistency.doubled),
        "out of order": len(consistency.out_of_order),
    }
    figures = ", ".join(f"{number} {name}" for name, number in counts.items())
    problems = [*result.problems, *(line for lines in result.books.values() for line in lines)]
    end = "; ".join(problems) or "as expected"
    return f"RTO {result.rto_s} s; {consistency.acknowledged} answered, {figures}; {end}"


def as_drill(result: Result) -> dict[str, Any]:
    """Returns a drill as the report has it."""
    consistency = result.consistency
    return {
        "kind": result.kind.name,
        "at": _moment(result.broken_at or result.began),
        "good": result.is_good,
        "acknowledged": consistency.acknowledged,
        "lost": consistency.lost,
        "doubled": consistency.doubled,
        "out_of_order": consistency.out_of_order,
        **{
            name: getattr(result, name)
            for name in ("broken", "rto_s", "healthy_s", "stopped_s", "doors", "books", "problems")
        },
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def write(made: Report, folder: Path) -> list[Path]:
    """Write the report as JSON, and as HTML and PDF in each language. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"drills.json": signed_report.as_json(made)}
    for language in LANGUAGES:
        ending = "" if language == "en" else ".zh"
        texts[f"drills{ending}.html"] = report.as_html(made, language)
        texts[f"drills{ending}.pdf"] = document.as_pdf(made, language)
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return [folder / name for name in texts]
