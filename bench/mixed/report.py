"""The table of a day of mixed work."""

from bench.figures import paragraphs, table
from bench.mixed.day import FleetDay, MixedReport

HEAD = ("fleet", "GPUs", "requests", "first token p50", "first token p99", "jobs", "in use", "lent")
NOTE = """\
*Jobs*: their GPU-hours, without what handing over takes. *In use*: of all GPUs' time, slots with a
request and jobs. Two fleets apart need as many GPUs for the jobs as do them in the same day
without a pause."""


def section(report: MixedReport) -> str:
    return paragraphs(_head(report), _fleets(report), NOTE)


def _head(report: MixedReport) -> str:
    return (
        f"{report.engines} engines, {report.hours:g} h, real-time load {report.share:.0%} on "
        f"average, seed {report.seed}: {report.saved:.1%} less hardware, first token p99 "
        f"{report.slower:.2f}x."
    )


def _fleets(report: MixedReport) -> str:
    together = report.engines
    apart = together + report.dedicated
    return table(HEAD, (_row(report, report.apart, apart), _row(report, report.mixed, together)))


def _row(report: MixedReport, fleet: FleetDay, gpus: float) -> tuple[str, ...]:
    in_use = (fleet.busy_h + report.mixed.jobs_h) / (gpus * report.hours)
    return (
        fleet.name,
        f"{gpus:.1f}",
        f"{fleet.requests:,}",
        f"{fleet.first_token_p50_s:.2f} s",
        f"{fleet.first_token_p99_s:.2f} s",
        f"{report.mixed.jobs_h:.1f} h",
        f"{in_use:.1%}",
        str(fleet.lent),
    )
