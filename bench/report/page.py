"""The results as Markdown tables, to be pasted into bench/notebook/."""

from collections.abc import Iterator, Sequence

from bench.compare.comparison import Row
from bench.compare.engine import EngineRow
from bench.compare.idle import IdleReport
from bench.figures.statistics import difference, ratio
from bench.figures.tables import cell, pair, table
from bench.parts import (
    admission,
    audit,
    audit_search,
    audit_verify,
    batching,
    big_bodies,
    cache_trace,
    dispatch,
    fairness,
    grpc_unary,
    memory,
    preemption,
    scaling,
    usage,
)
from bench.report.aims import Aim
from bench.report.results import Results

METHOD = """\
Everything (load generator, engine, LiteLLM, vllm-router, Forebay with its PostgreSQL and Valkey)
shares the cores above over loopback. Targets take turns in short slices, figures are medians over
the rounds. Forebay runs one web and one worker process with API key, limits, fair queue,
encryption, audit and usage on. LiteLLM runs one worker as installed, with a master key, without
Redis or a database, so without limits, virtual keys or spend records: that favours it. Forebay can
use two Python processes where LiteLLM is bound to one, which favours Forebay in requests/s; CPU per
request (of all processes of a platform, PostgreSQL and Valkey included) has neither fault.
vllm-router is a bare load balancer in Rust with one engine behind it, without keys, limits or
records: what a proxy costs at the least. Answers have 64 tokens; a wrong status, a missing `[DONE]`
or a wrong number of tokens counts as bad. Time at a constant rate counts from the scheduled moment.
"In step": all streams begin at the same moment, again and again."""


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
    if results.batching is not None:
        rounds, seconds = results.batching.rounds, results.batching.seconds
        yield f"## Continuous batching ({rounds} rounds of {seconds:g} s)"
        yield batching.section(results.batching)
    if results.memory is not None:
        yield "## Memory"
        yield memory.section(results.memory)
    if results.bodies is not None:
        yield "## Long prompts"
        yield big_bodies.section(results.bodies)
    if results.admission is not None:
        yield "## Admission"
        yield admission.section(results.admission)
    if results.grpc is not None:
        yield "## gRPC beside REST"
        yield grpc_unary.section(results.grpc)
    if results.cache is not None:
        yield "## Kept answers: a trace by Zipf's law"
        yield cache_trace.section(results.cache)
    if results.scaling is not None:
        yield "## Several web processes and workers"
        yield scaling.section(results.scaling)
    if results.usage is not None:
        yield "## Usage pages"
        yield usage.section(results.usage)
    if results.audit is not None:
        yield "## Audit"
        yield audit.section(results.audit)
    if results.audit_verify is not None:
        yield "## Verification of the audit trail"
        yield audit_verify.section(results.audit_verify)
    if results.audit_search is not None:
        yield "## Search in the audit trail"
        yield audit_search.section(results.audit_search)
    yield from scheduling(results)
    if results.comparison or results.engine:
        yield "## How it was measured"
        yield METHOD
    if complaints := set(all_complaints(results)):
        yield "Bad answers began with:\n\n" + "\n".join(
            f"* `{line}`" for line in sorted(complaints)
        )


def scheduling(results: Results) -> Iterator[str]:
    if results.fairness is not None:
        yield "## Fair shares"
        yield fairness.section(results.fairness)
    if results.dispatch is not None:
        yield "## Dispatch"
        yield dispatch.section(results.dispatch)
    if results.preemption is not None:
        yield "## Preemption"
        yield preemption.section(results.preemption)


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
    found = {(row.load, row.target): row for row in rows}

    def cells(row: Row) -> tuple[str, ...]:
        direct = found.get((row.load, "direct"))
        litellm = found.get((row.load, "LiteLLM"))
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
    said = f"CPU of Forebay without requests, in percent of one core, {report.seconds:.0f} s long:"
    return f"{said}\n\n" + table(("together", *report.percent), [body])


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
    if results.batching is not None:
        for batch in results.batching.rows:
            yield from (f"{batch.engine}, {batch.streams} streams: {line}" for line in batch.wrong)
    if results.memory is not None:
        yield from (f"memory: {line}" for line in results.memory.wrong)
    if results.bodies is not None:
        for row in results.bodies.rows:
            yield from (f"{row.target}, {row.load}: {line}" for line in row.wrong)
