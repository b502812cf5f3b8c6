"""Exports usage as CSV or JSON: one row for each group in each hour or day, streamed.

CSV begins with a byte order mark, without which Excel does not recognise UTF-8.
"""

from collections.abc import Iterator

import orjson

from inference.usage.report import LATENCIES, SUMS, Dimension, UsageFigures, UsageReport
from infrastructure.csv_cells import csv_lines, no_formula

FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
_MICRO = 1_000_000

Row = dict[str, str | int | float | None]


def file_name(report: UsageReport, by: Dimension, form: str) -> str:
    tenant = report.tenant.name if report.tenant else "all-tenants"
    span = report.span
    return f"usage-{tenant}-{span.first}-{span.last}-by-{by}.{form}"


def exported(report: UsageReport, by: Dimension, form: str) -> Iterator[bytes]:
    """Yields the file in pieces of at most one hour or day."""
    pieces = (rows for rows in _rows(report, by) if rows)
    return _csv(pieces, by) if form == "csv" else _json(pieces)


def _rows(report: UsageReport, by: Dimension) -> Iterator[list[Row]]:
    for begins, groups in report.groups_by_period(by):
        moment = begins.astimezone(report.span.zone).isoformat()
        rows = list[Row]()
        for group in groups:
            ids = {} if by.is_name else {f"{by}_id": str(group.id)}
            row: Row = {"begins": moment, str(by): group.name.text, **ids}
            rows.append(row | _figures(group.figures))
        yield rows


def _figures(figures: UsageFigures) -> Row:
    """Returns costs in units of the currency, energy in joules, times in milliseconds."""
    row: Row = {name: getattr(figures, name) for name in SUMS}
    del row["millijoules"]
    row |= {
        "joules": figures.millijoules / 1000,
        "cost": figures.cost / _MICRO,
        "hosted_cost": figures.hosted_cost / _MICRO,
    }
    for name in LATENCIES:
        histogram = getattr(figures, name)
        row |= {f"{name}_p50_ms": histogram.p50, f"{name}_p95_ms": histogram.p95}
    return row


def _csv(pieces: Iterator[list[Row]], by: Dimension) -> Iterator[bytes]:
    ids = [] if by.is_name else [f"{by}_id"]
    columns = ["begins", str(by), *ids, *_figures(UsageFigures())]
    return file_of_pieces(pieces, columns, "csv")


def _cell(value: str | float | None) -> str | int | float | None:
    if isinstance(value, str):
        return no_formula(value)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")  # never 1e-06
    return value


def _json(pieces: Iterator[list[Row]]) -> Iterator[bytes]:
    before = b"[\n"
    for rows in pieces:
        yield before + b",\n".join(orjson.dumps(row) for row in rows)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def file_of_pieces(pieces: Iterator[list[Row]], columns: list[str], form: str) -> Iterator[bytes]:
    """Yields a long list of rows as a file. Each row has these columns."""
    if form == "json":
        yield from _json([{c: row[c] for c in columns} for row in rows] for rows in pieces if rows)
        return
    yield b"\xef\xbb\xbf" + csv_lines([columns]).encode()
    for rows in pieces:
        yield csv_lines([_cell(row[column]) for column in columns] for row in rows).encode()


def file_of(rows: list[Row], form: str) -> bytes:
    """Returns a short list as a file. Rows have the same columns."""
    if form == "json":
        return b"".join(_json(iter([rows] if rows else [])))
    lines = [[_cell(value) for value in row.values()] for row in rows]
    names = [list(row) for row in rows[:1]]
    return b"\xef\xbb\xbf" + csv_lines([*names, *lines]).encode()
