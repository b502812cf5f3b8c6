"""The results as Markdown tables, to be pasted into bench/notebook/."""

from collections.abc import Iterator, Sequence

from bench.compare.comparison import Comparison, Row
from bench.compare.idle import IdleReport
from bench.figures import cell, complaints, pair, paragraphs, table, table_of
from bench.report.results import Results

MET = {True: "yes", False: "**no**", None: "not measured"}


def page(results: Results) -> str:
    return paragraphs(*_sections(results)) + "\n"


def _sections(results: Results) -> Iterator[str]:
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
    yield _aims_table(results)
    if results.comparison:
        yield f"## Mock engine ({results.rounds} rounds of {results.seconds:g} s)"
        yield _comparison_table(results.comparison)
        yield _cpu_table(results.comparison)
    if results.idle is not None:
        yield _idle_table(results.idle)
    if results.engine:
        yield "## Real model on the embedded llama.cpp"
        yield _engine_table(results.engine)
    for title, part in results.in_order():
        yield f"## {title}"
        yield part.section
    rows = (*results.comparison, *results.engine)
    if lines := complaints(
        f"{row.target}, {row.load}: {text}" for row in rows for text in row.wrong
    ):
        yield "Bad answers began with:\n\n" + lines


def _aims_table(results: Results) -> str:
    columns = {
        "aim": lambda aim: aim.text,
        "goal": lambda a: f"{'at least' if a.at_least else 'at most'} {a.limit:g} {a.unit}",
        "measured": lambda aim: f"{cell(aim.value)} {aim.unit}",
        "met": lambda aim: MET[aim.met],
    }
    return table_of(columns, results.aims())


def _comparison_table(rows: Sequence[Row]) -> str:
    figures = Comparison(rows)

    def added(row: Row, metric: str) -> float | None:
        return figures.added(row.load, metric, row.target)

    def against(row: Row) -> str:
        if row.target != "Forebay" or (row.load, "LiteLLM") not in figures.rows:
            return ""
        return f"{cell(figures.times(row.load))}x, 1/{cell(figures.cheaper(row.load))}"

    columns = {
        "load": lambda row: row.load,
        "target": lambda row: row.target,
        "requests/s": lambda row: cell(row["rps"]),
        "p50 / p99 ms": lambda row: pair(row["p50_ms"], row["p99_ms"]),
        "added p50 / p99 ms": lambda row: pair(*(added(row, p) for p in ("p50_ms", "p99_ms"))),
        "first token p50 / p99 ms": lambda row: pair(row["ttft_p50_ms"], row["ttft_p99_ms"]),
        "added p50 ms": lambda row: cell(added(row, "ttft_p50_ms")),
        "token gap p99 ms": lambda row: cell(row["gap_p99_ms"]),
        "CPU ms/request": lambda row: cell(row.cpu_ms),
        "against LiteLLM: rps, CPU": against,
        "bad / all": lambda row: f"{row.bad} / {row.all}",
    }
    return table_of(columns, rows)


def _cpu_table(rows: Sequence[Row]) -> str:
    ours = [row for row in rows if row.target == "Forebay"]
    roles = sorted({name for row in ours for name in row.cpu_by_role})
    if not roles:
        return ""
    body = ((row.load, *(cell(row.cpu_by_role.get(name)) for name in roles)) for row in ours)
    return "CPU ms per request by process of Forebay:\n\n" + table(("load", *roles), body)


def _idle_table(report: IdleReport) -> str:
    body = (cell(report.total), *map(cell, report.percent.values()))
    text = f"CPU of Forebay without requests, in percent of one core, {report.seconds:.0f} s long:"
    return f"{text}\n\n" + table(("together", *report.percent), [body])


def _engine_table(rows: Sequence[Row]) -> str:
    figures = Comparison(rows)

    def share(row: Row) -> float | None:
        return figures.times(row.load, "tokens_per_s", row.target, "direct")

    columns = {
        "load": lambda row: row.load,
        "target": lambda row: row.target,
        "tokens/s": lambda row: cell(row["tokens_per_s"]),
        "share of direct": lambda row: cell(share(row)),
        "first token p50 / p99 ms": lambda row: pair(row["ttft_p50_ms"], row["ttft_p99_ms"]),
        "added p50 ms": lambda row: cell(figures.added(row.load, "ttft_p50_ms", row.target)),
        "token gap p99 ms": lambda row: cell(row["gap_p99_ms"]),
        "bad / all": lambda row: f"{row.bad} / {row.all}",
    }
    return table_of(columns, rows)
