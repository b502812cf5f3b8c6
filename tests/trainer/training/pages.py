"""The project's own pages as training data: no model has seen them."""

import json
from hashlib import sha256
from pathlib import Path

from config.environment import PROJECT


def write_pages(folder: Path, most_bytes: int) -> dict[str, str]:
    """Writes two files, a paragraph a line; a tenth of the pages is held out."""
    folder.mkdir(parents=True, exist_ok=True)
    sides: dict[str, list[str]] = {"train": [], "held_out": []}
    for page in sorted(PROJECT.glob("docs/**/*.md")):
        name = str(page.relative_to(PROJECT))
        is_held_out = int(sha256(name.encode()).hexdigest(), 16) % 10 == 0
        sides["held_out" if is_held_out else "train"] += page.read_text().split("\n\n")
    paths = {side: folder / f"{side}.jsonl" for side in sides}
    for side, path in paths.items():
        path.write_text("".join(_lines(sides[side], most_bytes)))
    return {side: str(path) for side, path in paths.items()}


def _lines(texts: list[str], most_bytes: int) -> list[str]:
    lines, size = list[str](), 0
    for text in texts:
        if text.strip() and size < most_bytes:
            lines.append(json.dumps({"text": text}) + "\n")
            size += len(text.encode())
    return lines
