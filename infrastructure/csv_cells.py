"""Lines of CSV, and texts in them that no spreadsheet runs as a formula (OWASP, CSV Injection)."""

import csv
import io
from collections.abc import Iterable
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def no_formula(text: str) -> str:
    """Returns the text, behind ' where a spreadsheet would run it."""
    return "'" + text if text.startswith(FORMULA) else text


def csv_lines(rows: Iterable[Iterable[Any]], end: str = "\r\n") -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows(rows)
    return text.getvalue()
