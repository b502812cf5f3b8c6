"""`forebay tree FILE`: fits a boosted tree on labelled rows, and prints it as a policy takes it."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from infrastructure.release import VERSION

TYPES = "number"


def tree(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="forebay tree", description=__doc__)
    parser.add_argument("file", type=Path, help="CSV with a header, or JSON lines")
    parser.add_argument("--label", default="label", help="the column of what happened: 1 or 0")
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="COLUMN", help="no feature; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(_fitted(options) + "\n")
    except (OSError, ValueError) as problem:
        print(f"forebay tree: {problem}", file=sys.stderr)
        return 1
    return 0


def _fitted(options: argparse.Namespace) -> str:
    """Returns the tree as JSON. Raises OSError, ValueError."""
    from inference.decisions import boosting

    rows, labels = _rows(options)
    try:
        made = boosting.fit(rows, labels, seed=options.seed)
    except boosting.CannotFit as problem:
        raise ValueError(str(problem)) from None
    about = {**made.about, "forebay": VERSION}
    return msgspec.json.encode(msgspec.structs.replace(made, about=about)).decode()


def _rows(options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[int]]:
    """Raises OSError, ValueError."""
    from inference.decisions.evaluation import labelled_file

    data = options.file.read_bytes()
    columns = labelled_file.columns_of(data)
    left_out = {options.label, *options.leave_out}
    types = {name: TYPES for name in columns if name not in left_out}
    rows = labelled_file.rows_in(
        data, options.label, types=types, check=lambda _row: "", bounded=False
    )
    return [row.input for row in rows], [row.label for row in rows]
