"""The signed report on drills, in the form of the compliance report.

audit/offline/forebay_verify.py reads both.

Its body says of each drill what was broken, how long nobody was answered, and what became of the
answered requests.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from console.compliance import signed_report as reports
from console.compliance.drills.kinds import KINDS
from console.compliance.drills.picture import drawn
from console.compliance.drills.words import WORDS, in_language
from console.compliance.signed_report import FORMAT, Report
from infrastructure import release

Drill = dict[str, Any]


def make(
    drills: Sequence[Drill],
    *,
    by: str,
    seed: int,
    topology: str,
    versions: Mapping[str, str],
    with_checkpoint: bool = True,
) -> Report:
    """Returns the signed report. Each of `drills` is as config/drills/session.py makes it.

    `with_checkpoint`: name the audit trail's newest one, for which the database has to be there.
    """
    body = {
        "format": FORMAT,
        "kind": "drills",
        "made_at": timezone.now().isoformat(),
        "made_by": by,
        "installation": settings.PUBLIC_URL,
        "version": release.VERSION,
        "versions": dict(versions),
        "topology": topology,
        "seed": seed,
        "note": WORDS["note"].both(),
        "summary": summary(drills),
        "drills": [_with_texts(drill) for drill in drills],
        "checkpoint": reports.checkpoint() if with_checkpoint else None,
    }
    return reports.signed(body)


def summary(drills: Sequence[Drill]) -> dict[str, Any]:
    # One that was stopped before its end has none.
    times = [drill["rto_s"] for drill in drills if drill["rto_s"]]
    return {
        "drills": len(drills),
        "failed": sum(1 for drill in drills if not drill["good"]),
        "rto_p50_s": round(median(times), 1) if times else 0.0,
        "rto_max_s": round(max(times), 1) if times else 0.0,
        "acknowledged": sum(drill["acknowledged"] for drill in drills),
        **{
            name: sum(len(drill[name]) for drill in drills)
            for name in ("lost", "doubled", "out_of_order")
        },
        "books": sum(len(lines) for drill in drills for lines in drill["books"].values()),
    }


def _with_texts(drill: Drill) -> Drill:
    kind = KINDS[drill["kind"]]
    return {**drill, "label": kind.label.both(), "breaks": kind.breaks.both()}


def as_html(report: Report, language: str) -> bytes:
    """Returns the page in a language; the JSON inside has both."""
    code = "zh-hans" if language.startswith("zh") else "en"
    context = {
        "report": report,
        "body": report["body"],
        "words": in_language(code),
        "language": code,
        "lines": [line(drill, code) for drill in report["body"]["drills"]],
        "picture": drawn(report["body"], code),
        "inside": reports.inside(report),
    }
    return reports.signed_page(render_to_string("console/compliance/drills.html", context))


def line(drill: Drill, language: str) -> dict[str, Any]:
    """Returns the cells of a drill's line in a table."""
    words = in_language(language)
    result = words["good"] if drill["good"] else words["bad"]
    if drill["good"] and drill["stopped_s"]:
        result = words["stopped"]
    return {
        **drill,
        "label": drill["label"][language],
        "breaks": drill["breaks"][language],
        "result": result,
        "books": books(drill["books"], words),
        "findings": [*drill["problems"], *(f for lines in drill["books"].values() for f in lines)],
    }


def books(compared: Mapping[str, Sequence[str]], words: Mapping[str, str]) -> str:
    if not compared:
        return words["not_compared"]
    return words["bad"] if any(compared.values()) else words["exact"]
