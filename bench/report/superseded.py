"""Removes raw results whose every part a newer run has measured: git keeps what was."""

import json
from pathlib import Path

ABOUT = {"machine", "quick", "rounds", "seconds", "litellm", "router", "idle", "aims"}
ENDINGS = (".json", ".md", ".svg")


def remove(folder: Path, by: Path) -> list[Path]:
    """The files removed. A run of fewer rounds removes none, and a quick run is never touched."""
    newest = json.loads(by.read_bytes())
    gone = []
    for path in sorted(folder.glob("*.json")):
        older = json.loads(path.read_bytes())
        if path != by and not older.get("quick") and _holds(newest, older):
            gone += [path.with_suffix(ending) for ending in ENDINGS]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def _holds(newest: dict[str, object], older: dict[str, object]) -> bool:
    if "rounds" not in older:  # of another program: bench.simulate
        return False
    enough = int(str(newest["rounds"])) >= int(str(older["rounds"]))
    return enough and parts(older) <= parts(newest)


def parts(results: dict[str, object]) -> set[str]:
    return {name for name, value in results.items() if value and name not in ABOUT}
