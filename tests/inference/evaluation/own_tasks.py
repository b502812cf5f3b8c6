"""Tasks for the bundled model that are no public benchmark."""

import random
from pathlib import Path
from typing import Any

from config.environment import PROJECT

PAGES, CHARACTERS = 16, 700
CAPITALS = Path(__file__).parent / "capitals.txt"


def questions() -> list[dict[str, Any]]:
    pairs = [line.split(":") for line in CAPITALS.read_text().splitlines()]
    cities, generator, rows = [city for _name, city in pairs], random.Random(5), []  # noqa: S311
    for name, city in pairs:
        choices = [city, *generator.sample([other for other in cities if other != city], 3)]
        generator.shuffle(choices)
        prompt = f"The capital city of {name} is"
        rows.append({"prompt": prompt, "choices": choices, "answer": city})
    return rows


def pages() -> list[dict[str, Any]]:
    """Returns the beginnings of pages of this project's documentation, unseen by any model."""
    files = sorted((PROJECT / "docs").glob("*.md"))[:PAGES]
    return [{"text": file.read_text()[:CHARACTERS]} for file in files]
