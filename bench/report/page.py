"""The results as Markdown tables, to be pasted into bench/notebook/."""

from collections.abc import Iterator, Sequence

from bench.compare.comparison import Row
from bench.compare.engine import EngineRow
from bench.compare.idle import IdleReport
from bench.figures.aims import Aim
from bench.figures.statistics import difference, ratio
from bench.figures.tables import cell, complaints, pair, table
from bench.parts.catalogue import PARTS
from bench.report.results import Results


def page(results: Results) -> str:
    return "\n\n".join(filter(None, sections(results))) + "\n"


def sections(results: Results) -> Iterator[str]:
    machine = results.machine
    yield f"# Benchmark of {machine['date']}"
    yield (
        f"Commit {machine.get('commit') or 'unknown'}. "
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}. {machine['versions']}, "
        f"LiteLLM {results.litellm or 'not run'}, vllm-router {results.router or 'not run'}."
    )
    if results.quick:
        yield "**A quick run: short slices, good for a first look and not for quoting.**"
    yield "## Aims"
    yield table(("aim", "goal", "measured", "met"), map(aim_cells, results.aims()))
    if results.comparison:
        yield f"## Mock engine ({results.rounds} rounds of {results.seconds:g} s)"
        yield comparison_table(results.comparison)
        yield cpu_table(results.comparison)
    if results.idle is not None:
        yield idle_table(results.idle)
    if results.engine:
        yield "## Real model on the embedded llama.cpp"
        yield engine_table(results.engine)
    for name, part in PARTS.items():
        if name in results.parts:
            yield f"## {part.title}"
            yield part.section(results.parts[name])
    if lines := complaints(all_complaints(results)):
        yield "Bad answers began with:\n\n" + lines


def aim_cells(aim: Aim) -> tuple[str, ...]:
    sign = "at least" if aim.at_least else "at most"
    met = {True: "yes", False: "**no**", None: "not measured"}[aim.met]
    return (aim.text, f"{sign} {aim.limit:g} {aim.unit}", f"{cell(aim.value)} {aim.unit}", met)


def comparison_table(rows: Sequence[Row]) -> str:
    head = (
        "load",
        "target",
        "requests/s",
        "p50 / p99 ms",
        "added p50 / p99 ms",
        "first token p50 / p99 ms",
        "added p50 ms",
        "token gap p99 ms",
        "CPU ms/request",
        "against LiteLLM: rps, CPU",
        "bad / all",
    )
    by_target = {(row.load, row.target): row for row in rows}

    def cells(row: Row) -> tuple[str, ...]:
        direct = by_target.get((row.load, "direct"))
        litellm = by_target.get((row.load, "LiteLLM"))
        own = row.target == "direct"
        return (
            row.load,
            row.target,
            cell(row["rps"]),
            pair(row["p50_ms"], row["p99_ms"]),
            "" if own else pair(added(row, direct, "p50_ms"), added(row, direct, "p99_ms")),
            pair(row["ttft_p50_ms"], row["ttft_p99_ms"]),
            "" if own else cell(added(row, direct, "ttft_p50_ms")),
            cell(row["gap_p99_ms"]),
            cell(row.cpu_ms),
            against(row, litellm) if row.target == "Forebay" else "",
            f"{row.bad} / {row.all}",
        )

    return table(head, map(cells, rows))


def added(row: Row, direct: Row | None, metric: str) -> float | None:
    return difference(row[metric], direct[metric]) if direct is not None else None


def against(ours: Row, theirs: Row | None) -> str:
    if theirs is None:
        return ""
    faster, cheaper = ratio(ours["rps"], theirs["rps"]), ratio(theirs.cpu_ms, ours.cpu_ms)
    return f"{cell(faster)}x, 1/{cell(cheaper)}"


def cpu_table(rows: Sequence[Row]) -> str:
    ours = [row for row in rows if row.target == "Forebay"]
    roles = sorted({name for row in ours for name in row.cpu_by_role})
    if not roles:
        return ""
    body = ((row.load, *(cell(row.cpu_by_role.get(name)) for name in roles)) for row in ours)
    return "CPU ms per request by process of Forebay:\n\n" + table(("load", *roles), body)


def idle_table(report: IdleReport) -> str:
    body = (cell(report.total), *(cell(percent) for percent in report.percent.values()))
    text = f"CPU of Forebay without requests, in percent of one core, {report.seconds:.0f} s long:"
    return f"{text}\n\n" + table(("together", *report.percent), [body])


def engine_table(rows: Sequence[EngineRow]) -> str:
    head = (
        "streams",
        "target",
        "tokens/s",
        "share of direct",
        "first token p50 / p99 ms",
        "added p50 ms",
        "token gap p99 ms",
        "bad / all",
    )
    direct = {row.streams: row for row in rows if row.target == "direct"}

    def cells(row: EngineRow) -> tuple[str, ...]:
        base = direct[row.streams]
        return (
            str(row.streams),
            row.target,
            cell(row["tokens_per_s"]),
            cell(ratio(row["tokens_per_s"], base["tokens_per_s"])),
            pair(row["ttft_p50_ms"], row["ttft_p99_ms"]),
            "" if row is base else cell(difference(row["ttft_p50_ms"], base["ttft_p50_ms"])),
            cell(row["gap_p99_ms"]),
            f"{row.bad} / {row.all}",
        )

    return table(head, map(cells, rows))


def all_complaints(results: Results) -> Iterator[str]:
    for row in results.comparison:
        yield from (f"{row.target}, {row.load}: {line}" for line in row.wrong)
    for one in results.engine:
        yield from (f"{one.target}, {one.streams} streams: {line}" for line in one.wrong)
