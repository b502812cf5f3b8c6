"""Links of README, docs and pages beside the code lead to files and headings that exist."""

import re
from pathlib import Path

import pytest

from config.environment import PROJECT
from tests.docs.blocks import PAGES

pytestmark = pytest.mark.unit
FOLDERS = ("bench", "bench/notebook", "deploy/prometheus", "tests/mutants")
BESIDE_CODE = [page for folder in FOLDERS for page in sorted((PROJECT / folder).glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize(
    "page", [*PAGES, *BESIDE_CODE], ids=lambda page: page.relative_to(PROJECT).as_posix()
)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = set()
    for file, anchor in LINK.findall(page.read_text()):
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.add(f"{file}#{anchor}")
    assert broken == set()


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)
    headings = re.findall(r"^#{1,6} (.+)$", text, re.M)
    return {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def test_a_heading_has_the_anchor_that_github_gives_it() -> None:
    assert _anchor("Once only: `Idempotency-Key`") == "once-only-idempotency-key"
    assert _anchor("A request's life, in nine steps") == "a-requests-life-in-nine-steps"
