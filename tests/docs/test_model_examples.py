"""The pages on models state what the reports in docs/examples/models say."""

import json
import re
from typing import Any

import pytest

from config.environment import PROJECT

pytestmark = pytest.mark.unit
FOLDER = PROJECT / "docs/examples/models"
LONGEST_LINE, LARGEST = 5_000, 50_000


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def page(name: str) -> str:
    return (PROJECT / "docs/models" / name).read_text()


def figures(form: str) -> dict[str, float]:
    """Returns the figures of both task sets that jobs have scored."""
    scores = [
        read(f"score-{form}-{tasks}")["job"]["result"]["figures"] for tasks in ("pages", "capitals")
    ]
    return {name: figure["value"] for each in scores for name, figure in each.items()}


@pytest.mark.parametrize("form", ["q8_0", "int8"])
def test_the_table_of_eight_bits_has_the_figures_of_its_reports(form: str) -> None:
    before, after = figures("f32"), figures(f"f32-{form}")
    share = read(f"quantise-{form}")["job"]["result"]["share"]
    change = after["perplexity"] / before["perplexity"] - 1
    accuracy_share = after["accuracy"] / before["accuracy"]
    row = f"| `{form}` | {share:.1%} | {after['perplexity']:.2f} ({change:+.2%}) "
    row += f"| {after['accuracy']:.0%} ({accuracy_share:.1%}) |"
    assert row.replace("%", " %") in page("quantise.md")


def test_the_quick_start_has_the_figures_of_its_report() -> None:
    (perplexity,) = [
        each for each in read("quick-start-evaluation")["figures"] if each["name"] == "perplexity"
    ]
    values = (perplexity[name]["value"] for name in ("against", "candidate"))
    text = "from {:.1f} to {:.1f}".format(*values)
    assert text in page("quick-start.md")
    html = (FOLDER / "quick-start-evaluation.html").read_text()
    assert "<svg" in html
    assert f"{perplexity['candidate']['value']:.1f}" in html


def test_what_the_quick_start_printed_has_its_steps_and_no_key() -> None:
    printed = (FOLDER / "quick-start.txt").read_text()
    steps = [
        "manual@1: ready",
        "held out",
        "smollm2-135m-manual@1 is serving",
        '{"choices"',
        "perplexity",
    ]
    at = [printed.index(step) for step in steps]
    assert at == sorted(at)
    assert not re.search(r"sk-fb-\w", printed)


def test_all_of_them_are_small_and_named_in_the_list() -> None:
    listed = (PROJECT / "docs/examples/README.md").read_text()
    for file in FOLDER.iterdir():
        assert file.stat().st_size < LARGEST, file.name
        assert max(map(len, file.read_text().splitlines())) < LONGEST_LINE, file.name
        assert f"models/{file.name}" in listed, file.name
