"""Writes bench/results/<date>.json, .md and .svg, and the run's line in the history."""

import json
from pathlib import Path

from bench.report import history, page, picture
from bench.report.results import Results
from bench.servers.child import REPOSITORY

FOLDER = REPOSITORY / "bench" / "results"


def write(
    results: Results, name: str, folder: Path = FOLDER, line_in: Path = history.FILE
) -> list[Path]:
    """Returns the files written; `name` is theirs, without an ending."""
    folder.mkdir(exist_ok=True)
    contents = {
        ".json": json.dumps(results.as_json(), indent=1) + "\n",
        ".md": page.page(results),
    }
    if results.comparison:
        machine = results.machine
        footer = f"{machine['date']}, {machine['cores']} cores of {machine['cpu']}"
        contents[".svg"] = picture.drawn(results.comparison, footer)
    for ending, content in contents.items():
        (folder / (name + ending)).write_text(content)
    return [folder / (name + ending) for ending in contents] + history.record(results, line_in)
